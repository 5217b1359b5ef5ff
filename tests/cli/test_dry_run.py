"""`--dry-run`: what would be trained, where, for about how long; nothing is written or started."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RunFailed
from harness.execution.parent import runner
from harness.execution.parent.runner import Run
from harness.spec import registry
from harness.spec.case import label
from tests.support.answers import Ask
from tests.support.check_world import World
from tests.support.records import BATCH_SIZE, Draft, draft, write_run_folder
from tests.support.wrong_uses import WRONG_USES

TINY = ("--set", f"per_device_batch_size={BATCH_SIZE}", "--set", "max_steps=12")


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> World:
    made = World(tmp_path, monkeypatch, capsys)
    made.accept()
    return made


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker and no other program starts."""

    def refuse(*arguments: Any, **names: Any) -> None:
        raise AssertionError(f"a process was started: {arguments}")

    monkeypatch.setattr(runner, "launch", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.usefixtures("no_process")
@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (
            ("run", "--loops", "plain,minimal,plain", "--set", "max_steps=7"),
            ["3 runs of 1 case", "plain-2", "7 steps", "How long it takes is not known"],
        ),
        (("run", "--seeds", "2", "--loops", "plain"), ["paraphrase-seed43", "3 epochs"]),
        (("run", "--suite", "resume"), ["cases", "plain-resumed"]),
        (
            ("run", "--devices", "cpu,cuda", "--loops", "plain"),
            ["paraphrase-cpu", "paraphrase-cuda"],
        ),
        (
            ("bench", "--loops", "plain,minimal", "--budget", "60"),
            ["3 runs of 1 case", "control", "At most 60 s", "8 traced steps", "bench-paraphrase"],
        ),
        (
            ("bench", "--", "ls", "a b", "--", "ls"),
            ["A: ls 'a b'", "B: ls", "At most", "bench-commands"],
        ),
    ],
)
def test_the_plan_is_printed_and_nothing_written(
    ask: Ask, command: Sequence[str], lines: Sequence[str]
) -> None:
    """Runs, their length, the time if it is known, and the folder."""
    first, *rest = command
    found = ask(first, "--dry-run", *rest)
    assert (0, "") == (found.code, found.err)
    assert "Dry run, nothing is written" in found.out
    assert "Results: reports/" in found.out
    for line in lines:
        assert line in found.out
    assert [] == files()


@pytest.mark.parametrize("command", [("run", "--noise", "4"), ("run", "--suite", "resume")])
def test_the_planned_runs_are_those_that_a_run_makes(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, command: Sequence[str]
) -> None:
    """The names, in their order."""
    made: list[list[str]] = []

    def run_all(runs: Sequence[Run], *_: Any) -> None:
        made.extend([run.spec.case.name, label(run.spec)] for run in runs)
        raise RunFailed("enough")

    monkeypatch.setattr("harness.comparison.run.run_all", run_all)
    planned = json.loads(ask(*command, "--dry-run", "--json").out)["dry_run"]["runs"]
    ask(*command)
    assert made == [[run["case"], run["run"]] for run in planned]
    assert made


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(words, said) for words, said in WRONG_USES if words[0] in ("run", "bench", "check")],
)
def test_wrong_use_is_refused_as_without_it(refused: Ask, arguments: list[str], said: str) -> None:
    """The same line and exit code."""
    assert said.lower() in refused(arguments[0], "--dry-run", *arguments[1:]).err.lower()


@pytest.mark.parametrize("command", ["run", "bench", "check"])
def test_a_used_folder_is_refused(ask: Ask, world: World, command: str) -> None:
    """As without --dry-run, and it stays as it was."""
    Path("used").mkdir()
    Path("used/mine.txt").write_text("precious", encoding="utf-8")
    baseline = ("--baseline", world.baselines) if command == "check" else ()
    found = ask(command, "--dry-run", *baseline, "--out", "used")
    assert (2, 1) == (found.code, len(found.err.splitlines()))
    assert "new or empty folder" in found.err
    assert ["used", "used/mine.txt"] == files()


def recorded(loop: str) -> Draft:
    """A run of `TINY`, but with 6 steps in 3 s."""
    settings = {"per_device_batch_size": BATCH_SIZE, "max_steps": 6}
    case = registry.with_settings(registry.case("paraphrase"), settings)
    made = draft(loop)
    made.header |= {"spec": registry.run_spec(case, loop, "matched"), "steps": 6, "wall_s": 3.0}
    return made


def test_an_earlier_record_tells_the_time(ask: Ask) -> None:
    """3 s for 6 steps are 6 s for 12, and 12 s for two loops one after the other."""
    write_run_folder(Path("first"), {name: recorded(name) for name in ("plain", "minimal")})
    loops = ("--loops", "plain,minimal", *TINY)
    found = ask("run", "--dry-run", *loops, "--jobs", "1", "--out", "second")
    assert 2 == found.out.count("12 steps  about 6 s")
    assert "About 12 s of training" in found.out
    found = ask("run", "--dry-run", *loops, "--jobs", "2", "--out", "second", "-q")
    assert "About 6 s of training" in found.out
    assert 3 == len(found.out.splitlines())


@pytest.mark.parametrize(
    "other", [("--set", "learning_rate=1e-3"), ("--detail", "steps"), ("--set", "train_rows=8")]
)
def test_the_record_of_another_training_tells_no_time(ask: Ask, other: Sequence[str]) -> None:
    """Another recipe, detail or data: not known, for the one loop that was recorded too."""
    write_run_folder(Path("first"), {"plain": recorded("plain")})
    command = ("run", "--dry-run", "--loops", "plain", *TINY, "--out", "second")
    assert "About 6 s" in ask(*command).out
    assert "no earlier record shows 1 of the 1 run" in ask(*command, *other).out


def test_completed_runs_of_a_stopped_command_are_not_planned_again(ask: Ask) -> None:
    """With --resume; and the folder is not touched."""
    write_run_folder(Path("first"), {"paraphrase-plain": recorded("plain")})
    before = {path: Path(path).stat().st_mtime_ns for path in files()}
    command = ("run", "--dry-run", *TINY[:-1], "max_steps=6", "--resume", "--out", "first")
    found = ask(*command, "--loops", "plain,minimal", "--json")
    plan = json.loads(found.out)["dry_run"]
    assert ["minimal"] == [run["run"] for run in plan["runs"]]
    assert "1 run completed before and kept" in plan["notes"]
    found = ask(*command, "--loops", "plain")
    assert "no run is missing" in found.out
    assert "Nothing is left to train." in found.out
    assert before == {path: Path(path).stat().st_mtime_ns for path in files()}


def test_a_check_names_the_case_without_a_baseline(ask: Ask, world: World) -> None:
    """And trains the case with one for the traced steps of a bench."""
    found = ask("check", "paraphrase", "mrpc", "--dry-run", "--baseline", world.baselines)
    assert 0 == found.code, found.err
    assert "mrpc is not trained" in found.out
