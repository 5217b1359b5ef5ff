"""The studies of bench count what the sessions show, also from stored sessions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from harness.benchmark.sessions import BenchRequest
from harness.results.sessions import FOLDER
from studies import bench_false_alarms, bench_power
from studies.study import repeated_benches
from tests.support.bench_sessions import sessions

AROUND = [0.995, 1.004, 0.999, 1.003, 1.001]


def study(out: Path, *runs: dict[str, float]) -> None:
    """Write one run for each mapping from arm to its slowdown relative to plain."""
    for number, ratios in enumerate(runs, start=1):
        arms = {"control": AROUND, **{a: [r * each for each in AROUND] for a, r in ratios.items()}}
        for session in sessions(arms):
            session.write(out / f"run-{number:03}" / FOLDER)


def concluded(module: object, out: Path, *more: str) -> dict[str, object]:
    """The result of a study from its stored sessions."""
    app = typer.Typer()
    app.command()(module.main)  # type: ignore[attr-defined]
    done = CliRunner().invoke(app, ["--from-sessions", "--out", str(out), *more])
    assert 0 == done.exit_code, done.output
    found: dict[str, object] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return found


def test_slowdowns_are_counted_as_the_sessions_have_them(tmp_path: Path) -> None:
    """One bench of two detects both slowdowns, the other none."""
    names = list(bench_power.SLOWED)
    study(tmp_path, dict(zip(names, (1.05, 1.10), strict=True)), dict.fromkeys(names, 1.0))
    found = concluded(bench_power, tmp_path)

    assert dict.fromkeys(names, 1) == found["called"]
    assert 2 == found["count"]
    assert (tmp_path / "visible.svg").is_file()


@pytest.mark.parametrize(("ratio", "alarms"), [(1.0, 0), (1.06, 1)])
def test_a_false_alarm_is_counted(ratio: float, alarms: int, tmp_path: Path) -> None:
    """A candidate that is called slower is a false alarm."""
    study(tmp_path, {"plain-2": ratio})
    found = concluded(bench_false_alarms, tmp_path)

    assert (alarms, 1) == (found["alarms"], found["count"])


def test_nothing_is_measured_when_stored_sessions_are_used(tmp_path: Path) -> None:
    """Nothing is written either."""
    request, quiet = BenchRequest(budget_s=1, beside="nothing"), Console(quiet=True)

    assert [] == list(repeated_benches(3, ["plain"], request, tmp_path, quiet, from_sessions=True))
    assert [] == list(tmp_path.iterdir())
