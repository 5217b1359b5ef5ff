"""Runs the steps of a workflow's job as GitHub's runner does, by bash, in a folder of its own.

What is played: the order and conditions of steps, expressions, the files of outputs, environment
and summary, composite actions, and the runner's reading of workflow commands in what is printed.
Actions of others are not run; which, and why, stands in `NOT_RUN`, and any other is refused.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.ci.expressions import condition, filled

__all__ = ["NOT_RUN", "Job", "Played", "Remark", "play"]

NOT_RUN = {
    "actions/checkout": "the workspace is a fresh copy of the repository already",
    "actions/setup-python": "the Python of these tests is used",
    "actions/upload-artifact": "there is nowhere to upload to; that its path exists is checked",
}
_SHELLS = {
    None: ("bash", "-e"),
    "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail"),
}


@dataclass(frozen=True)
class Remark:
    """An annotation as the runner reads it."""

    level: str
    title: str
    message: str


@dataclass
class Played:
    """What a job left behind."""

    workspace: Path
    temp: Path
    environment: dict[str, str]
    succeeded: bool = True
    ran: list[str] = field(default_factory=list)
    """Names of the steps that bash ran."""
    skipped: list[str] = field(default_factory=list)
    """Names of the steps whose condition did not hold."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Names of the steps that are not runnable here, with the reason."""
    remarks: list[Remark] = field(default_factory=list)
    obeyed: list[str] = field(default_factory=list)
    """Workflow commands other than annotations that the runner would have obeyed."""
    summary: str = ""
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of each step with an id."""
    uploads: dict[str, Path] = field(default_factory=dict)
    printed: str = ""


@dataclass(frozen=True)
class Job:
    """A job, and the circumstances in which it is run."""

    workflow: Path
    name: str
    event: str = "push"
    inputs: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, dict[str, str]] = field(default_factory=dict)
    """By the name of a step: inputs of its action in place of those of the file."""


def play(job: Job, workspace: Path, temp: Path, environment: dict[str, str]) -> Played:
    """Run all steps of `job` in `workspace`."""
    content = yaml.safe_load(job.workflow.read_text(encoding="utf-8"))
    body = content["jobs"][job.name]
    temp.mkdir(exist_ok=True)
    played = Played(workspace, temp, {**os.environ, **environment, "RUNNER_TEMP": str(temp)})
    contexts: dict[str, Any] = {
        "github": {"event_name": job.event, "ref": "refs/heads/main"},
        "inputs": job.inputs,
        "vars": job.variables,
    }
    if not condition(body.get("if"), contexts, True):
        played.skipped += [step["name"] for step in body["steps"]]
        return played
    shared = {name: str(value) for name, value in body.get("env", {}).items()}
    _steps(body["steps"], contexts, played, shared, job.replaced)
    return played


def _steps(
    steps: list[dict[str, Any]],
    contexts: dict[str, Any],
    played: Played,
    shared: dict[str, str],
    replaced: dict[str, dict[str, str]],
) -> dict[str, Any]:
    """Run steps in order, in a context of outputs of their own, which is returned."""
    inner: dict[str, Any] = {**contexts, "steps": {}}
    for step in steps:
        name = step["name"]
        if not condition(step.get("if"), inner, played.succeeded):
            played.skipped.append(name)
            continue
        given = {
            key: filled(str(value), inner)
            for key, value in {**step.get("with", {}), **replaced.get(name, {})}.items()
        }
        outputs: dict[str, str] = {}
        if "run" in step:
            own = {key: filled(str(value), inner) for key, value in step.get("env", {}).items()}
            outputs = _bash(step, {**shared, **own}, played)
        elif step["uses"].startswith("./"):
            outputs = _composite(played.workspace / step["uses"], given, inner, played, shared)
        else:
            action = step["uses"].split("@")[0]
            played.left_out[name] = NOT_RUN[action]
            if action == "actions/upload-artifact":
                path = played.workspace / given["path"]
                played.uploads[given["name"]] = path
        if "id" in step:
            inner["steps"][step["id"]] = {"outputs": outputs}
            played.outputs[step["id"]] = outputs
    return inner


def _composite(
    folder: Path,
    given: dict[str, str],
    contexts: dict[str, Any],
    played: Played,
    shared: dict[str, str],
) -> dict[str, str]:
    """Run a composite action; returns its outputs."""
    content = yaml.safe_load((folder / "action.yml").read_text(encoding="utf-8"))
    unknown = given.keys() - content["inputs"].keys()
    assert not unknown, f"the action has no input {unknown}"
    inputs = {name: given.get(name, one["default"]) for name, one in content["inputs"].items()}
    inside = {**shared, "GITHUB_ACTION_PATH": str(folder)}
    known = {**contexts, "inputs": inputs}
    inner = _steps(content["runs"]["steps"], known, played, inside, {})
    found = {name: filled(one["value"], inner) for name, one in content["outputs"].items()}
    played.outputs["action"] = found
    return found


def _bash(step: dict[str, Any], own: dict[str, str], played: Played) -> dict[str, str]:
    """Run a step's script; reads its files and what it printed. Returns its outputs."""
    number = len(played.ran)
    files = {
        name: played.temp / f"_runner_{number}_{name}" for name in ("OUTPUT", "STEP_SUMMARY", "ENV")
    }
    for path in files.values():
        path.touch()
    script = played.temp / f"_runner_{number}.sh"
    script.write_text(step["run"], encoding="utf-8")
    done = subprocess.run(
        [*_SHELLS[step.get("shell")], str(script)],
        cwd=played.workspace,
        env={
            **played.environment,
            **own,
            **{f"GITHUB_{name}": str(path) for name, path in files.items()},
            "GITHUB_WORKSPACE": str(played.workspace),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=1200,
    )
    played.ran.append(step["name"])
    played.printed += done.stdout
    _read(done.stdout, played)
    played.summary += files["STEP_SUMMARY"].read_text(encoding="utf-8")
    played.environment |= _pairs(files["ENV"])
    played.succeeded &= done.returncode == 0
    return _pairs(files["OUTPUT"])


def _pairs(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines())


def _read(printed: str, played: Played) -> None:
    """Workflow commands, as the runner takes them from what a step prints."""
    token = None
    for line in re.split(r"\r\n|\r|\n", printed):
        opening, rest = line.lstrip()[:2], line.lstrip()[2:]
        if opening != "::" or "::" not in rest:
            if token is None and "##[" in line:
                played.obeyed.append(line)
            continue
        command, _, message = rest.partition("::")
        name, _, properties = command.partition(" ")
        if token is not None:
            token = None if name == token else token
        elif name == "stop-commands":
            token = message
        elif name in ("error", "warning", "notice"):
            given = dict(one.split("=", 1) for one in properties.split(",") if "=" in one)
            title = _unescaped(given.get("title", ""))
            played.remarks.append(Remark(name, title, _unescaped(message)))
        else:
            played.obeyed.append(line)
    assert token is None, "workflow commands were stopped and not started again"


def _unescaped(text: str) -> str:
    for code, character in (("0D", "\r"), ("0A", "\n"), ("3A", ":"), ("2C", ","), ("25", "%")):
        text = text.replace(f"%{code}", character)
    return text
