"""The studies of bench count what the sessions say, also when they are judged again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from harness.benchmark.bench_case import BenchRequest
from harness.results.sessions import FOLDER
from studies import bench_false_alarms, bench_power
from studies.bench_study import repeated
from tests.support.bench_sessions import sessions

AROUND = [0.995, 1.004, 0.999, 1.003, 1.001]


def study(out: Path, *runs: dict[str, float]) -> None:
    """So many runs whose arms are slower than plain by these factors."""
    for number, ratios in enumerate(runs, start=1):
        arms = {"control": AROUND, **{a: [r * each for each in AROUND] for a, r in ratios.items()}}
        for session in sessions(arms):
            session.write(out / f"run-{number:03}" / FOLDER)


def judged(module: object, out: Path, *more: str) -> dict[str, object]:
    """The result of a study whose sessions are judged again."""
    app = typer.Typer()
    app.command()(module.main)  # type: ignore[attr-defined]
    done = CliRunner().invoke(app, ["--judge-again", "--out", str(out), *more])
    assert 0 == done.exit_code, done.output
    found: dict[str, object] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return found


def test_slowdowns_are_counted_as_the_sessions_have_them(tmp_path: Path) -> None:
    """Of two benches one saw both, the other one neither."""
    names = list(bench_power.SLOWED)
    study(tmp_path, dict(zip(names, (1.05, 1.10), strict=True)), dict.fromkeys(names, 1.0))
    found = judged(bench_power, tmp_path)

    assert dict.fromkeys(names, 1) == found["called"]
    assert 2 == found["count"]
    assert (tmp_path / "visible.svg").is_file()


@pytest.mark.parametrize(("ratio", "alarms"), [(1.0, 0), (1.06, 1)])
def test_a_false_alarm_is_counted(ratio: float, alarms: int, tmp_path: Path) -> None:
    """The candidate is called slower, or it is not."""
    study(tmp_path, {"plain-2": ratio})
    found = judged(bench_false_alarms, tmp_path)

    assert (alarms, 1) == (found["alarms"], found["count"])


def test_what_is_not_there_is_not_measured_when_judging_again(tmp_path: Path) -> None:
    """Nor is anything written."""
    asked, quiet = BenchRequest(budget_s=1, beside="nothing"), Console(quiet=True)

    assert [] == list(repeated(3, ["plain"], asked, tmp_path, quiet, again=True))
    assert [] == list(tmp_path.iterdir())
