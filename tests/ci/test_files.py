"""The files of a build pass their linters and our own rules; a planted fault in each is caught."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ci.gitlab import resolved
from tests.ci.place import REPOSITORY
from tests.ci.rules import broken_rules

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((REPOSITORY / ".github" / "actions").glob("*/action.yml"))
GUIDE = REPOSITORY / "docs" / "regression-and-ci.md"
GITLAB = REPOSITORY / "docs" / "gitlab-ci.yml"
SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "vendor.github-actions": ACTIONS,
    "vendor.gitlab-ci": [GITLAB],
}


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A program of the environment of these tests."""
    program = Path(sys.executable).parent / name
    return subprocess.run(
        [str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def schema(name: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    more = ["--data-transform", "gitlab-ci"] if "gitlab" in name else []
    return tool("check-jsonschema", "--builtin-schema", name, *more, *paths)


def without_templates(text: str, folder: Path) -> Path:
    """The recipe for GitLab with `extends` resolved, since the schema looks into no template."""
    path = folder / "resolved.yml"
    path.write_text(yaml.safe_dump(resolved(yaml.safe_load(text))), encoding="utf-8")
    return path


def audit(*paths: Path | str) -> subprocess.CompletedProcess[str]:
    return tool("zizmor", "--offline", "--persona=pedantic", "--format=plain", *paths)


def test_there_are_files() -> None:
    """Three workflows and an action, each of them looked at below."""
    assert ["equivalence", "gpu", "tests"] == [path.stem for path in WORKFLOWS]
    assert ["harness"] == [path.parent.name for path in ACTIONS]


@pytest.mark.parametrize("name", SCHEMAS)
def test_files_fit_their_schemas(name: str) -> None:
    """GitHub and GitLab would read them."""
    found = schema(name, *SCHEMAS[name])
    assert 0 == found.returncode, found.stdout + found.stderr


def test_the_recipe_fits_with_its_templates_resolved(tmp_path: Path) -> None:
    """GitLab would read each job as it is run."""
    path = without_templates(GITLAB.read_text(encoding="utf-8"), tmp_path)
    found = schema("vendor.gitlab-ci", path)
    assert 0 == found.returncode, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("vendor.github-workflows", "runs-on:", "run-on:"),
        ("vendor.github-workflows", "timeout-minutes: ", "timeout-minutes: never #"),
        ("vendor.github-actions", "using: composite", "using: compost"),
        ("vendor.gitlab-ci", "exit_codes: 4", "exit_codes: four"),
        ("vendor.gitlab-ci", "when: always", "when: ever"),
    ],
)
def test_a_file_that_does_not_fit_is_caught(
    tmp_path: Path, name: str, before: str, after: str
) -> None:
    """Control: a word misspelt."""
    text = SCHEMAS[name][0].read_text(encoding="utf-8")
    assert before in text
    spoiled = tmp_path / SCHEMAS[name][0].name
    spoiled.write_text(text.replace(before, after, 1), encoding="utf-8")
    if "gitlab" in name:
        spoiled = without_templates(text.replace(before, after, 1), tmp_path)
    assert 1 == schema(name, spoiled).returncode


def test_the_audit_finds_nothing() -> None:
    """zizmor, which knows how workflows are broken into."""
    found = audit(*WORKFLOWS, *ACTIONS)
    assert 0 == found.returncode, found.stdout


def test_the_workflows_of_the_guide_are_as_good(tmp_path: Path) -> None:
    """What is to be copied fits the schema, passes the audit, keeps our rules, and gives the action
    what it takes."""
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    texts = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    known = yaml.safe_load(ACTIONS[0].read_text(encoding="utf-8"))["inputs"].keys()
    for number, text in enumerate(texts):
        (folder / f"{number}.yml").write_text(text, encoding="utf-8")
        content = yaml.safe_load(text)
        assert [] == broken_rules(content)
        (job,) = content["jobs"].values()
        assert job["steps"][-1]["with"].keys() <= known
    assert 2 == len(texts)
    paths = sorted(folder.iterdir())
    checked = schema("vendor.github-workflows", *paths)
    assert 0 == checked.returncode, checked.stdout
    found = audit("--config", REPOSITORY / ".github" / "zizmor.yml", *paths)
    assert 0 == found.returncode, found.stdout


@pytest.mark.parametrize(
    ("finding", "before", "after"),
    [
        (
            "template-injection",
            "run: .ci/run",
            "run: echo ${{ github.event.pull_request.title }}",
        ),
        ("excessive-permissions", "permissions: {}", "permissions: write-all"),
        ("unpinned-uses", "@a309ff8b426b58ec0e2a45f0f869d46889d02405 # v6.2.0", "@v6"),
        ("artipacked", "persist-credentials: false", "fetch-depth: 1"),
        ("dangerous-triggers", "  pull_request:", "  pull_request_target:"),
    ],
)
def test_a_hole_is_found(tmp_path: Path, finding: str, before: str, after: str) -> None:
    """Control: each way in that was planted is named by the audit."""
    text = (REPOSITORY / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    assert before in text
    spoiled = tmp_path / ".github" / "workflows" / "tests.yml"
    spoiled.parent.mkdir(parents=True)
    spoiled.write_text(text.replace(before, after, 1), encoding="utf-8")
    found = audit(spoiled)
    assert 0 != found.returncode
    assert finding in found.stdout


@pytest.mark.parametrize(
    "path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_files_keep_our_rules(path: Path) -> None:
    """Ends in time, only reads, takes no expression into a script, a GPU has one job at a time."""
    assert [] == broken_rules(yaml.safe_load(path.read_text(encoding="utf-8")))


def spoil(content: dict[str, Any], where: str, value: Any) -> None:
    """Put `value` at a place such as `jobs.gpu.steps.0.run`, or take it away where it is None."""
    *path, last = where.split(".")
    inner: Any = content
    for part in path:
        inner = inner[int(part)] if part.isdigit() else inner[True if part == "on" else part]
    key = True if last == "on" else last
    if value is None:
        del inner[key]
    else:
        inner[key] = value


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        ("permissions", None, "a workflow says its permissions"),
        ("jobs.gpu.permissions", None, "a job says its permissions"),
        ("jobs.gpu.permissions", {"contents": "write"}, "only reads"),
        ("jobs.gpu.timeout-minutes", None, "timeout-minutes"),
        ("on", {"pull_request": None}, "no change of a stranger's"),
        ("on", ["schedule", "issue_comment"], "no change of a stranger's"),
        ("concurrency", None, "one job at a time"),
        ("concurrency", {"group": "gpu", "cancel-in-progress": True}, "not cut off"),
        ("jobs.gpu.steps.0.run", "echo ${{ inputs.cases }}", "never from an expression"),
        ("jobs.gpu.steps.1.uses", "actions/checkout@v6", "pinned by its commit"),
        ("jobs.gpu.steps.0.name", None, "has a name"),
    ],
)
def test_a_broken_rule_is_named(where: str, value: Any, words: str) -> None:
    """Control: the workflow for GPUs with one fault in it breaks one rule."""
    content = yaml.safe_load((REPOSITORY / ".github/workflows/gpu.yml").read_text("utf-8"))
    spoil(content, where, value)
    (found,) = broken_rules(content)
    assert words in found


def test_a_step_of_an_action_without_its_shell_is_named() -> None:
    """Control: GitHub refuses such an action when it is used."""
    content = yaml.safe_load(ACTIONS[0].read_text(encoding="utf-8"))
    step = next(step for step in content["runs"]["steps"] if "run" in step)
    del step["shell"]
    (found,) = broken_rules(content)
    assert "names its shell" in found


@pytest.mark.parametrize(
    "script", sorted(ACTIONS[0].parent.glob("*.sh")), ids=lambda path: path.name
)
def test_scripts_are_bash_and_can_be_run(script: Path) -> None:
    """Also in a checkout: git keeps who may run them."""
    checked = subprocess.run(["bash", "-n", str(script)], capture_output=True, check=False)
    assert (0, b"") == (checked.returncode, checked.stderr)
    assert script.stat().st_mode & 0o111
