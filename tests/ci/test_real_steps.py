"""The workflow for every change with the real harness behind it: a loop of a user's own passes,
regresses, and meets no baseline. Only the installing step finds its environment there already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ci.place import REPOSITORY, fresh_copy, venv_of_these_tests
from tests.ci.runner import Job, Played, play
from tests.support.command import harness

pytestmark = pytest.mark.slow

EQUIVALENCE = REPOSITORY / ".github" / "workflows" / "equivalence.yml"
LOOP = """
from harness.training.loops import plain


def train(workload, recipe, probe):
    return plain.train(workload, recipe.model_copy(update={CHANGES}), probe)
"""
FEW = ("--set=max_steps=3", "--set=train_rows=48", "--set=eval_rows=16")
LOOPS = "plain,my_loop.py"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A repository with a loop of its own and its accepted baseline, and where its venv is."""
    workspace = fresh_copy(tmp_path_factory.mktemp("workspace"))
    temp = tmp_path_factory.mktemp("prepared")
    venv_of_these_tests(temp, workspace)
    loop(workspace, "{}")
    first = temp / "first"
    for command in (
        ("run", "paraphrase", "--loops", LOOPS, *FEW, "--out", first),
        ("accept", first, "--baseline", "baselines", "--reason", "the first"),
    ):
        done = harness(*command, cwd=workspace)
        assert 0 == done.returncode, done.stdout + done.stderr
    return workspace, temp


def loop(workspace: Path, changes: str) -> None:
    """The user's loop: the plain one with some fields of the recipe changed."""
    (workspace / "my_loop.py").write_text(LOOP.replace("{CHANGES}", changes), encoding="utf-8")


def build(place: tuple[Path, Path], tmp_path: Path, **given: str) -> Played:
    """The job, with the harness of the workspace."""
    workspace, temp = place[0], tmp_path / "temp"
    temp.mkdir()
    venv_of_these_tests(temp, workspace)
    inputs = {
        "suite": "",
        "loops": LOOPS,
        "arguments": "\n".join(FEW),
        "no-verdict-fails": "true",
        "bench-budget": "",
        **{name.replace("_", "-"): value for name, value in given.items()},
    }
    job = Job(EQUIVALENCE, "cpu", replaced={"Compare and check": inputs})
    return play(job, workspace, temp, {})


def report(found: Played, name: str) -> dict[str, object]:
    path = Path(found.outputs["action"]["folder"]) / name / "report.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_a_loop_that_is_as_it_was_accepted_is_green(
    place: tuple[Path, Path], tmp_path: Path
) -> None:
    """Both reports agree, nothing is annotated, and every page is in the artifact."""
    loop(place[0], "{}")
    found = build(place, tmp_path)

    assert found.succeeded, found.printed
    assert {"verdict": "equivalent", "exit-code": "0"}.items() <= found.outputs["action"].items()
    assert ([], []) == (found.remarks, found.obeyed)
    assert "my_loop against plain" in found.summary
    for name in ("compare", "gate"):
        folder = found.uploads["equivalence-cpu"] / name
        assert {"report.html", "report.json", "report.md", "junit.xml"} <= {
            path.name for path in folder.iterdir()
        }


def test_a_loop_that_does_something_else_is_red(place: tuple[Path, Path], tmp_path: Path) -> None:
    """A step fewer: the gate says so first, then the comparison; with the commands to go on."""
    loop(place[0], '{"max_steps": 2}')
    found = build(place, tmp_path)

    assert not found.succeeded
    assert "1" == found.outputs["action"]["exit-code"]
    assert "regression" == report(found, "gate")["verdict"]
    assert 1 <= len(found.remarks) <= 10
    first = found.remarks[0]
    assert "error" == first.level
    assert "paraphrase, my_loop: " in first.title
    assert "regressed" in first.title
    assert any("steps" in remark.title and "3 to 2" in remark.title for remark in found.remarks)
    assert "Reproduce: harness check --baseline=baselines" in first.message
    assert "harness accept gate --baseline baselines --reason 'WHY'" in first.message


def test_a_repository_without_a_baseline_has_no_verdict(
    place: tuple[Path, Path], tmp_path: Path
) -> None:
    """Red by exit code 4, with the two commands that make a first one; or a warning alone."""
    loop(place[0], "{}")
    for number, fails in enumerate(("true", "false")):
        folder = tmp_path / str(number)
        folder.mkdir()
        given = {"compare": "false", "baseline": "none-yet", "no_verdict_fails": fails}
        found = build(place, folder, **given)

        assert (fails == "false") == found.succeeded
        assert {"verdict": "no_verdict", "exit-code": "4"}.items() <= found.outputs[
            "action"
        ].items()
        (remark,) = found.remarks
        assert "warning" == remark.level
        assert "no baseline of paraphrase" in remark.message
        assert "harness accept first --baseline none-yet --reason 'WHY'" in remark.message


def test_wrong_use_is_told_in_a_line(place: tuple[Path, Path], tmp_path: Path) -> None:
    """A loop that is not there: exit code 2, and the harness's own words."""
    found = build(place, tmp_path, loops="plain,nowhere.py")

    assert not found.succeeded
    assert "2" == found.outputs["action"]["exit-code"]
    (remark,) = found.remarks
    assert "wrong use" in remark.title
    assert remark.message.startswith("harness: ")
    assert "nowhere.py" in remark.message
