"""The work of `harness upgrade`: traced runs, then speeds, and one report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from harness.benchmark.arms import arms_with_libraries
from harness.benchmark.bench import progress, verdict_of
from harness.benchmark.bench_case import BenchedCase, bench_case
from harness.benchmark.sessions import BenchRequest
from harness.comparison.run import run_cases
from harness.execution.environments.variants import LibrarySet
from harness.regression.upgrade_summary import upgrade_result
from harness.report.write import write
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.results.report import Report, Verdict, verdict
from harness.spec.request import RunRequest

__all__ = ["add_upgrade_result", "upgrade_cases", "verdict_with_speeds"]


def upgrade_cases(
    request: RunRequest,
    library_sets: Sequence[LibrarySet],
    speeds: BenchRequest | None,
    command: Sequence[str],
    console: Console,
) -> tuple[Report, Path]:
    """Train each case with each loop and each set of libraries, then time each loop.

    `library_sets`: the first is the reference. `speeds`: the budget of timing, which is divided
    evenly; None: no timing. Raises as `run_cases` and `bench_case` do. The report of the traced
    runs is written before the first session.
    """
    report, folder = run_cases(request, console, command, library_sets=library_sets)
    report = add_upgrade_result(report, folder, library_sets, {})
    if speeds is None:
        return report, folder
    benched = _speeds(request, library_sets, speeds, report, folder, console)
    report = add_upgrade_result(report, folder, library_sets, benched)
    return report, folder


def add_upgrade_result(
    report: Report,
    folder: Path,
    library_sets: Sequence[LibrarySet],
    benched: Mapping[str, BenchedCase],
) -> Report:
    """Add the upgrade's result to the report and write it. `benched`: speeds, by case name."""
    records = [RunRecord(folder / run.record) for run in report.runs]
    headers = {
        (run.one_of, f"{run.loop} {run.where}"): record.header
        for run, record in zip(report.runs, records, strict=True)
    }
    timed = [pair for found in benched.values() for pair in found.comparisons]
    whole = report.model_copy(
        update={
            "comparisons": (*report.comparisons, *timed),
            "bench": {name: f.result for name, f in benched.items() if f.result is not None},
            "upgrade": upgrade_result(library_sets, report.comparisons, headers, timed),
            "verdict": verdict_with_speeds(report, timed),
        }
    )
    write(whole, folder)
    return whole


def verdict_with_speeds(report: Report, timed: Sequence[Comparison]) -> Verdict:
    """A failure takes precedence over a change, and a change over a missing verdict."""
    statuses = [run.status for run in report.runs]
    values = verdict(statuses, report.comparisons)
    if not timed or values == "failed":
        return values
    both = (values, verdict_of([], timed))
    changed = any(pair.outcome in ("faster", "slower") for pair in timed)
    if changed or "different" in both:
        return "different"
    return "no_verdict" if "no_verdict" in both else "equivalent"


def _speeds(
    request: RunRequest,
    library_sets: Sequence[LibrarySet],
    speeds: BenchRequest,
    report: Report,
    folder: Path,
    console: Console,
) -> dict[str, BenchedCase]:
    """Bench each loop with all sets of libraries, one loop after the other."""
    began = time.monotonic()
    pairs = [
        (case, loop) for case in request.base_cases for loop in dict.fromkeys(request.loops)
    ]  # a loop that was traced twice is timed once
    benched: dict[str, BenchedCase] = {}
    with progress(console) as show_progress:
        for number, (case, loop) in enumerate(pairs):
            arms = arms_with_libraries(case, loop, request.conventions, library_sets)
            name = arms[0].spec.case.name
            now = time.monotonic()
            share = (began + speeds.budget_s - now) / (len(pairs) - number)
            known = {
                arm.name: pair
                for arm in arms[2:]
                for pair in report.comparisons
                if pair.case == case.name
                and pair.reference == f"{Path(loop).stem} with {arms[0].libraries}"
                and pair.candidate == f"{Path(loop).stem} with {arm.libraries}"
            }
            benched[name] = bench_case(
                arms,
                speeds.within(share),
                folder / name,
                folder,
                now,
                show_progress,
                known,
            )
    return benched
