"""GitLab's pipelines, as far as the recipe uses them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Literal

__all__ = ["Status", "resolved", "status_of"]

Status = Literal["passed", "failed", "warning"]

_GLOBAL = ("stages", "variables", "default", "workflow", "include")


def resolved(content: dict[str, Any]) -> dict[str, Any]:
    """A pipeline whose jobs stand by themselves: `extends` resolved, hidden jobs taken away."""
    found = {}
    for name, job in content.items():
        if name.startswith("."):
            continue
        if name not in _GLOBAL and "extends" in job:
            job = _merged(content[job["extends"]], job)
            del job["extends"]
        found[name] = job
    return found


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """As GitLab merges: mappings key by key, anything else replaced."""
    both = dict(below)
    for key, value in above.items():
        inside = isinstance(value, dict) and isinstance(below.get(key), dict)
        both[key] = _merged(below[key], value) if inside else value
    return both


def status_of(
    content: dict[str, Any], name: str, workspace: Path, environment: dict[str, str]
) -> tuple[Status, str]:
    """Run a job's script by bash as GitLab's runner does; what became of it and what it printed.

    The image, the cache and the runner's tags are not played: the script runs on this machine.
    """
    job = resolved(content)[name]
    given = {**content["variables"], **job.get("variables", {})}
    found = {**os.environ, "CI_PROJECT_DIR": str(workspace)}
    for key, value in given.items():
        found[key] = value.replace("$CI_PROJECT_DIR", str(workspace))
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join([*job["before_script"], *job["script"]])],
        cwd=workspace,
        env={**found, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=1200,
    )
    allowed = job.get("allow_failure", False)
    tolerated = allowed["exit_codes"] if isinstance(allowed, dict) else None
    if done.returncode == 0:
        return "passed", done.stdout
    return "warning" if done.returncode == tolerated else "failed", done.stdout
