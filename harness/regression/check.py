"""The work of `harness check`: measure, compare in three tiers, report.

Exact facts and memory come first, speeds last. If a speed regressed or improved, speeds are
measured a second time in new sessions. Only what both measurements show counts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console

from harness.benchmark.arms import Arm, arms_of
from harness.benchmark.bench import progress
from harness.benchmark.sessions import ShowProgress
from harness.errors import SpecError
from harness.regression import measure
from harness.regression.baseline import (
    Baseline,
    StoredBaseline,
    find_baselines,
    locked,
    nearest_baseline,
)
from harness.regression.compare_facts import (
    CurrentFacts,
    exact_items,
    key_item,
    memory_items,
    verdict,
)
from harness.regression.compare_speeds import (
    SpeedComparison,
    Tolerance,
    combine,
    compare_speeds,
    enough_sessions,
    missing_speed_items,
    other_reference_items,
)
from harness.regression.facts import facts_of, soundness_problems
from harness.regression.key import key_differences, key_of, machine_class, requested_settings
from harness.regression.self_check import run_self_check
from harness.regression.speeds import Speeds
from harness.report.write import write
from harness.results.folders import output_folder
from harness.results.record import RunRecord
from harness.results.regression import CheckItem, CheckResult, UsedBaseline
from harness.results.report import Report
from harness.spec.case import Case
from harness.spec.recipe import Conventions

__all__ = ["CheckRequest", "check_cases"]

_REPORT_S = 1.0
"""Part of a budget that is reserved for the report."""


@dataclass(frozen=True)
class CheckRequest:
    """What to check, and how long it may take."""

    baseline: Path
    """The folder of baselines, or one file."""
    loops: Sequence[str]
    conventions: Conventions = "matched"
    budget_s: float = 300.0
    """Wall time of the whole check. If a speed looks changed, half of the time for speeds is
    reserved for a second measurement."""
    tolerance: Tolerance = field(default_factory=Tolerance)
    exact_only: bool = False
    """Do not measure speeds."""
    timeout_s: float = 300.0
    """A turn or a start that takes longer counts as hanging."""


@dataclass
class _CaseCheck:
    """The result of one case."""

    items: list[CheckItem]
    baseline: UsedBaseline
    records: dict[str, RunRecord] = field(default_factory=dict)
    measurements: int = 1
    common_change: str = ""
    failed: bool = False


def check_cases(
    cases: Sequence[Case],
    request: CheckRequest,
    out: Path | None,
    command: Sequence[str],
    console: Console,
) -> tuple[Report, Path]:
    """Compare each case with its baseline, and write the report.

    Raises `SpecError` if an argument is invalid or another check uses the baseline, `RecordError`
    if a baseline is damaged, `RunFailed` if an arm ends or hangs, or if the self-check fails.
    """
    run_self_check()
    began = time.monotonic()
    if len({case.name for case in cases}) < len(cases):
        names = [case.name for case in cases]
        raise SpecError("each case of a check has its own name", names, "rename one")
    with (
        locked(request.baseline),
        output_folder(out, f"check-{cases[0].name}") as folder,
        progress(console) as show_progress,
    ):
        found = []
        for number, case in enumerate(cases):
            left_s = began + request.budget_s - time.monotonic()
            deadline = time.monotonic() + left_s / (len(cases) - number) - _REPORT_S
            where = folder if len(cases) == 1 else folder / case.name
            where.mkdir(exist_ok=True)
            found.append(_check(case, request, where, folder, deadline, show_progress))
        report = _report(found, folder, command)
        write(report, folder)
    return report, folder


def _report(found: Sequence[_CaseCheck], folder: Path, command: Sequence[str]) -> Report:
    items = tuple(item for one in found for item in one.items)
    result = CheckResult(
        items=items,
        baselines=tuple(one.baseline for one in found),
        measurements=max(one.measurements for one in found),
        moved_together=" ".join(
            f"{one.baseline.case}: {one.common_change}." for one in found if one.common_change
        ),
    )
    records = [pair for one in found for pair in one.records.items()]
    report = Report.of(records, [], folder, command)
    overall = "failed" if any(one.failed for one in found) else verdict(items)
    return report.model_copy(update={"gate": result, "verdict": overall})


def _check(
    case: Case,
    request: CheckRequest,
    folder: Path,
    records_in: Path,
    deadline: float,
    show_progress: ShowProgress,
) -> _CaseCheck:
    """Check one case. `folder`: for its sessions; `records_in`: for the records of all cases."""
    baselines = find_baselines(request.baseline, case.name)
    if not baselines:
        words = (
            f"no baseline of {case.name} in {request.baseline}: make one with harness bench and "
            "harness accept, or check the name of the case"
        )
        return _CaseCheck(
            [_of_case(case.name, words)],
            UsedBaseline(case=case.name, file=None, machine_class="not determined"),
        )
    benched = any(one.baseline.made_by == "bench" for one in baselines)
    made_by: Literal["run", "bench"] = "bench" if benched else "run"
    baselines = [one for one in baselines if one.baseline.made_by == made_by]
    records = measure.trace_loops(
        case,
        request.loops,
        request.conventions,
        made_by,
        records_in,
        request.timeout_s,
        show_progress,
    )
    reference = next(iter(records.values()))
    key = key_of(reference)
    used = nearest_baseline(baselines, key)
    assert used is not None
    found = _CaseCheck([], _used(used, request.baseline, reference), records)
    broken = {
        name: record.header.error or record.header.status
        for name, record in records.items()
        if record.header.status not in ("completed", "stopped")
    }
    if broken:
        found.failed = True
        found.items += [
            _of_case(case.name, f"{name} failed: {why}", name) for name, why in broken.items()
        ]
        return found
    arms: list[Arm] = []
    peaks: dict[str, float] = {}
    comparable = not key_differences(used.baseline.key, key)
    if made_by == "bench" and comparable:
        arms = arms_of(case, request.loops, request.conventions)
        show_progress(f"{case.name}: peak memory of each loop")
        peaks = measure.measure_memory(arms, folder, request.timeout_s)
    current = CurrentFacts(
        case=case.name,
        key=key,
        asked=requested_settings(reference),
        versions=reference.header.environment["versions"],
        loops={name: facts_of(record, peaks.get(name)) for name, record in records.items()},
        soundness_problems={name: soundness_problems(record) for name, record in records.items()},
    )
    unlike = key_item(used.baseline, current)
    if unlike is not None:
        found.items.append(unlike)
        return found
    found.items += exact_items(used.baseline, current)
    if made_by == "bench" or not request.exact_only:
        found.items += memory_items(used.baseline, current)
    if request.exact_only:
        return found
    if used.baseline.speeds is None:
        found.items += missing_speed_items(case.name)
        return found
    whole, found.measurements = _compare_speeds(
        case, used.baseline.speeds, arms, request, folder, deadline, show_progress
    )
    found.items += whole.items
    found.common_change = whole.common_change
    return found


def _compare_speeds(
    case: Case,
    before: Speeds,
    arms: Sequence[Arm],
    request: CheckRequest,
    folder: Path,
    deadline: float,
    show_progress: ShowProgress,
) -> tuple[SpeedComparison, int]:
    """Compare the speeds, a second time if one changed; and the number of measurements."""

    def measure_once(number: int, until: float) -> tuple[SpeedComparison, int]:
        now, made = measure.measure_speeds(
            arms,
            before,
            folder,
            number,
            until,
            deadline,
            request.timeout_s,
            lambda speeds: enough_sessions(before, speeds, request.tolerance),
            lambda speeds: compare_speeds(case.name, before, speeds, request.tolerance).moved,
            show_progress,
        )
        return compare_speeds(case.name, before, now, request.tolerance), made

    if arms[0].name != before.reference:
        return other_reference_items(case.name, before, arms[0].name), 1
    half_s = (deadline - time.monotonic()) / 2
    first, made = measure_once(1, time.monotonic() + half_s)
    if not first.moved:
        return first, 1
    show_progress(f"{case.name}: a speed looks changed; second measurement in new sessions")
    second, _ = measure_once(made + 1, deadline)
    return combine(first, second), 2


def _used(used: StoredBaseline, where: Path, reference: RunRecord) -> UsedBaseline:
    baseline: Baseline = used.baseline
    key = key_of(reference)
    return UsedBaseline(
        case=baseline.case,
        file=str(used.path if used.path == where else used.path.relative_to(where)),
        machine_class=machine_class(key),
        accepted_at=baseline.accepted_at,
        commit=baseline.commit,
        reason=baseline.reason,
        key_differences=key_differences(baseline.key, key),
    )


def _of_case(case: str, words: str, loop: str = "") -> CheckItem:
    return CheckItem(
        case=case, loop=loop, metric="case", tier="baseline", listed="missing", sentence=words
    )
