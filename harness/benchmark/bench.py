"""The work of `harness bench`: bench cases one after the other, and write one report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from harness.benchmark.arms import Arm
from harness.benchmark.bench_case import BenchedCase, bench_case
from harness.benchmark.folder import output_folder
from harness.benchmark.sessions import BenchRequest, ShowProgress
from harness.errors import SpecError
from harness.report.write import write
from harness.results.comparison import Comparison
from harness.results.report import Report, Verdict

__all__ = ["bench_cases", "check_arms", "progress", "verdict_of"]

_LINE_EVERY_S = 10.0  # if lines are kept instead of redrawn


def bench_cases(
    cases: Mapping[str, Sequence[Arm]],
    request: BenchRequest,
    out: Path | None,
    command: Sequence[str],
    console: Console,
    resume: bool = False,
) -> tuple[Report, Path]:
    """Bench the arms of each case; the first arm of a case is its reference.

    The budget is divided evenly. Time that one case leaves goes to the following cases. `resume`:
    continue a stopped bench in `out`. Raises as `bench_case` and `output_folder` do.
    """
    check_arms(cases)
    began = time.monotonic()
    benched: dict[str, BenchedCase] = {}
    with (
        output_folder(out, next(iter(cases)), resume) as folder,
        progress(console) as show_progress,
    ):
        for number, (name, arms) in enumerate(cases.items()):
            now = time.monotonic()
            left_s = began + request.budget_s - now
            share = request.within(left_s / (len(cases) - number))
            where = folder if len(cases) == 1 else folder / name
            benched[name] = bench_case(arms, share, where, folder, now, show_progress)
        report = _report(benched, folder, command)
        write(report, folder)
    return report, folder


def check_arms(cases: Mapping[str, Sequence[Arm]]) -> None:
    """Raise `SpecError` if a case has nothing to compare with its reference."""
    for name, arms in cases.items():
        if len(arms) < 3:
            raise SpecError(
                "a bench compares an arm with the first one",
                f"only {arms[0].name} on {name}",
                "pass another one by --loops or --arm",
            )


def _report(benched: Mapping[str, BenchedCase], folder: Path, command: Sequence[str]) -> Report:
    records = [pair for found in benched.values() for pair in found.records]
    comparisons = [c for found in benched.values() for c in found.comparisons]
    report = Report.of(records, comparisons, folder, command)
    results = {name: f.result for name, f in benched.items() if f.result is not None}
    environments = [found.passes.environment for found in benched.values()]
    return report.model_copy(
        update={
            "bench": results,
            "verdict": verdict_of([record.header.status for _, record in records], comparisons),
            "environment": report.environment or environments[0],
        }
    )


def verdict_of(statuses: Sequence[str], comparisons: Sequence[Comparison]) -> Verdict:
    """A failure takes precedence, then a missing verdict, then a difference in speed or values."""
    if any(status not in ("completed", "stopped") for status in statuses):
        return "failed"
    if not comparisons or any(
        c.outcome not in ("faster", "slower", "equivalent") for c in comparisons
    ):
        return "no_verdict"
    if any(c.outcome != "equivalent" or c.equality == "different" for c in comparisons):
        return "different"
    return "equivalent"


@contextmanager
def progress(console: Console) -> Iterator[ShowProgress]:
    """Show progress: one redrawn line on a terminal, elsewhere a line every few seconds."""
    if console.is_terminal:
        with console.status("") as status:
            yield lambda text: status.update(text)
        return
    last = -_LINE_EVERY_S

    def show_progress(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            console.print(text, soft_wrap=True, highlight=False, markup=False)

    yield show_progress
