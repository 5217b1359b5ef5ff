"""`--dry-run` of `harness bench` and `harness check`: arms, runs, and the time they may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.benchmark.arms import Arm
from harness.benchmark.commands import CommandArm
from harness.benchmark.folder import bench_folder
from harness.benchmark.sessions import BenchRequest
from harness.benchmark.traced import TRACED_STEPS
from harness.cli.dry_run import Plan, PlannedRun, duration_of, earlier_in, planned_run
from harness.execution.parent.forecast import Forecast
from harness.execution.parent.plan import plan
from harness.regression.baseline import find_baselines
from harness.regression.check import CheckRequest
from harness.results.folders import check_unused, new_in_reports
from harness.spec.case import Case, RunSpec
from harness.spec.request import RunRequest

__all__ = ["plan_of_arms", "plan_of_check", "plan_of_commands"]


def plan_of_arms(
    cases: Mapping[str, Sequence[Arm]], bench: BenchRequest, out: Path | None, resume: bool
) -> Plan:
    """What `harness bench` would do with these arms. Raises `SpecError`."""
    rows = [
        PlannedRun(name, arm.name, arm.spec.case.device, arm.spec.case.world_size)
        for name, arms in cases.items()
        for arm in arms
    ]
    return _plan_of_bench(rows, bench, bench_folder(out, next(iter(cases)), resume), [])


def plan_of_commands(
    arms: Sequence[CommandArm], bench: BenchRequest, out: Path | None, resume: bool
) -> Plan:
    """What `harness bench -- COMMAND_A -- COMMAND_B` would do. Raises `SpecError`."""
    rows = [PlannedRun("commands", arm.name, "as the command", None) for arm in arms]
    notes = [f"{arm.name}: {arm.text}" for arm in arms]
    return _plan_of_bench(rows, bench, bench_folder(out, "commands", resume), notes)


def plan_of_check(
    cases: Sequence[Case], loops: Sequence[str], check: CheckRequest, out: Path | None
) -> Plan:
    """What `harness check --baseline` would do. Raises `SpecError` and `RecordError`."""
    folder = out or new_in_reports(f"check-{cases[0].name}")
    check_unused(folder)
    forecast = Forecast(earlier_in(folder))
    specs: list[RunSpec] = []
    notes: list[str] = []
    timed = False
    for case in cases:
        baselines = [one.baseline for one in find_baselines(check.baseline, case.name)]
        if not baselines:
            notes.append(f"{case.name} is not trained: {check.baseline} holds no baseline of it")
            continue
        if any(one.made_by == "bench" for one in baselines):
            few = {"max_steps": TRACED_STEPS}
            case = case.model_copy(update={"recipe": case.recipe.model_copy(update=few)})
        timed |= any(one.speeds is not None for one in baselines)
        request = RunRequest(cases=(case,), loops=tuple(loops), conventions=check.conventions)
        specs += plan(request)
    rows = [planned_run(spec, forecast) for spec in specs]
    if timed and not check.exact_only:
        notes.append("Then the loops take turns, and their speeds are compared with the baseline")
        return Plan(rows, str(folder), check.budget_s, _within(check.budget_s), notes)
    about_s, duration = duration_of(specs, forecast, None)
    return Plan(rows, str(folder), about_s, duration, notes)


def _plan_of_bench(
    rows: Sequence[PlannedRun], bench: BenchRequest, folder: Path, notes: Sequence[str]
) -> Plan:
    more = ["The arms take turns, in sessions"]
    if bench.beside != "nothing":
        more.insert(0, f"First, {TRACED_STEPS} traced steps show whether the arms compute the same")
    return Plan(rows, str(folder), bench.budget_s, _within(bench.budget_s), [*notes, *more])


def _within(budget_s: float) -> str:
    return f"At most {budget_s:g} s, as --budget says; less if the intervals are soon narrow"
