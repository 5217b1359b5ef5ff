"""Measures how often a regression check fails, or gives no verdict, on unchanged code.

    python -m studies.check_false_alarms --runs 60 --budget 80 --out FOLDER

A bench is accepted as the baseline. Then the same code is checked repeatedly, with new
measurements of facts, memory and speeds. Every `regression` is a false alarm. Takes runs times
budget: 80 minutes by default, and the bench of the baseline. With the same --out a stopped study
continues. Published, with an interval of the rate: `reports/published/gate-checks`.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from scipy import stats

from harness.benchmark.arms import arms_of
from harness.benchmark.bench import bench_cases
from harness.benchmark.sessions import BenchRequest
from harness.errors import RunFailed
from harness.regression.accept import accept
from harness.regression.baseline import find_baselines
from harness.regression.check import CheckRequest, check_cases
from harness.results.report import REPORT_FILE, Report
from harness.spec.case import Case
from studies.study import study_case, write_result

BASELINE = "baselines"


def accepted(
    case: Case, loops: list[str], sessions: int, rounds: int, out: Path, console: Console
) -> Path:
    """The folder of the baseline of all checks, which is made if it is missing."""
    where = out / BASELINE
    if any(where.glob("*.json")):
        return where
    arms = {case.name: arms_of(case, loops, "matched")}
    request = BenchRequest(budget_s=3600.0, sessions=sessions, rounds=rounds)
    bench_cases(arms, request, out / "bench", ["study"], console, resume=True)
    accept(out / "bench", where, "the checked code")
    return where


def result_of(number: int, report: Report, took_s: float | None) -> dict[str, Any]:
    """The verdict of a check, with reasons if it did not pass."""
    assert report.gate is not None
    listed = Counter(item.listed for item in report.gate.items)
    speeds = {
        f"{item.loop} {item.metric}": [item.listed, item.ratio, item.interval]
        for item in report.gate.items
        if item.tier == "speed"
    }
    return {
        "run": number,
        "verdict": report.verdict,
        "took_s": took_s,
        "looks": report.gate.measurements,
        "listed": dict(listed),
        "speeds": speeds,
        "why": [
            item.sentence
            for item in report.gate.items
            if item.listed not in ("unchanged", "improved")
        ],
        "moved_together": report.gate.moved_together,
    }


def main(
    runs: Annotated[int, typer.Option(min=1, help="Number of checks.")] = 60,
    budget: Annotated[float, typer.Option(help="Seconds of each check.")] = 80.0,
    loops: Annotated[str, typer.Option(help="Loops to check.")] = "plain,trainer",
    sessions: Annotated[int, typer.Option(min=3, help="Sessions of the baseline.")] = 12,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each of these sessions.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder of the result; a stopped study continues.")] = (
        Path("reports/check-false-alarms")
    ),
) -> None:
    """Count the verdicts of checks of unchanged code, and write result.json after each check."""
    console = Console(stderr=True)
    named = [name.strip() for name in loops.split(",")]
    case = study_case(out)
    baseline = accepted(case, named, sessions, rounds, out, console)
    speeds = find_baselines(baseline, case.name)[0].baseline.speeds
    assert speeds is not None
    found: list[dict[str, Any]] = []

    def summary() -> dict[str, Any]:
        alarms = sum(run["verdict"] in ("regression", "failed") for run in found)
        low, high = stats.binomtest(alarms, len(found)).proportion_ci(0.95)
        took = sorted(run["took_s"] for run in found if run["took_s"] is not None)
        return {
            "budget_s": budget,
            "loops": named,
            "baseline": {"sessions": len(speeds.sessions), "rounds": speeds.rounds},
            "count": len(found),
            "alarms": alarms,
            "rate_interval_95": [float(low), float(high)],
            "verdicts": dict(Counter(run["verdict"] for run in found)),
            "second_looks": sum(run.get("looks", 1) > 1 for run in found),
            "median_took_s": took[len(took) // 2] if took else None,
        }

    for number in range(1, runs + 1):
        folder = out / f"check-{number:03}"
        took_s: float | None = None
        if (folder / REPORT_FILE).is_file():
            report = Report.read(folder)
        else:
            began = time.monotonic()
            folder = _unused(folder)
            request = CheckRequest(baseline=baseline, loops=named, budget_s=budget)
            try:
                report, _ = check_cases([case], request, folder, ["study"], console)
            except RunFailed as error:
                found.append(
                    {"run": number, "verdict": "failed", "took_s": None, "why": [f"{error}"]}
                )
                write_result(out, {**summary(), "runs": found})
                continue
            took_s = round(time.monotonic() - began, 1)
            (folder / "took_s.txt").write_text(f"{took_s}\n", encoding="utf-8")
        if took_s is None and (folder / "took_s.txt").is_file():
            took_s = float((folder / "took_s.txt").read_text(encoding="utf-8"))
        found.append(result_of(number, report, took_s))
        write_result(out, {**summary(), "runs": found})
        console.print(found[-1])
    console.print(summary())


def _unused(folder: Path) -> Path:
    """The folder, after the files of a stopped check were moved aside."""
    if folder.is_dir():
        number = 1
        while (aside := folder.with_name(f"{folder.name}-stopped-{number}")).exists():
            number += 1
        folder.rename(aside)
    return folder


if __name__ == "__main__":
    typer.run(main)
