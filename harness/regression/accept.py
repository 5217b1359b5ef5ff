"""The work of `harness accept`: store a finished run as the baseline of later checks."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from harness.benchmark.passes import FILE, Passes
from harness.benchmark.verdicts import LEAST_SESSIONS, control_of
from harness.errors import RecordError, SpecError
from harness.regression.baseline import (
    Baseline,
    StoredBaseline,
    baseline_path,
    cases_in,
    find_baselines,
    locked,
    nearest_baseline,
    write,
)
from harness.regression.compare_facts import CurrentFacts, exact_items, key_item, memory_items
from harness.regression.compare_speeds import Tolerance, compare_speeds
from harness.regression.facts import facts_of, soundness_problems
from harness.regression.key import key_of, requested_settings
from harness.regression.self_check import run_self_check
from harness.regression.speeds import ALPHA, Speeds, speeds_of
from harness.results.benchmark import CONTROL
from harness.results.header import commit_of
from harness.results.record import RunRecord
from harness.results.regression import CheckItem
from harness.results.report import Report
from harness.results.sessions import FOLDER, read_sessions

__all__ = ["Accepted", "accept"]


@dataclass(frozen=True)
class Accepted:
    """One accepted case."""

    case: str
    path: Path
    baseline: Baseline
    former: StoredBaseline | None
    """The baseline that this one replaces, or else the nearest one of the case."""
    changes: tuple[CheckItem, ...]
    """The differences of the new baseline from the former one; empty without a former one."""


def accept(run_dir: Path, where: Path, reason: str) -> list[Accepted]:
    """Store the cases of an output folder as baselines in `where`, a folder or a file.

    `run_dir`: the output folder of `harness bench` or `harness check` gives facts, peak memory and
    speeds; that of `harness run` gives facts of whole runs. Raises `SpecError` or `RecordError` if
    any case is unfit to be a baseline. In that case nothing is written.
    """
    run_self_check()
    if not reason.strip():
        raise SpecError("a baseline needs a reason", repr(reason), "pass --reason TEXT")
    report = Report.read(run_dir)
    by_case = _records(report, run_dir)
    if len(by_case) > 1 and (where.is_file() or where.suffix == ".json"):
        rule = "a file holds the baseline of one case"
        raise SpecError(rule, f"{len(by_case)} cases in {run_dir}", "pass a folder to --baseline")
    made = []
    with locked(where):
        if where.is_file() and (kept := cases_in(where)) != by_case.keys():
            rule = "a file holds the baseline of one case"
            raise SpecError(rule, f"{', '.join(kept)} in {where}", "name another file, or a folder")
        for case, records in by_case.items():
            folder = run_dir if len(by_case) == 1 else run_dir / case
            made.append(_accepted(case, records, folder, where, reason.strip()))
        for one in made:
            write(one.baseline, one.path)
    return made


def _records(report: Report, run_dir: Path) -> dict[str, dict[str, RunRecord]]:
    """Records by case and loop. Raises `SpecError` if one of them is unfit for a baseline."""
    found: dict[str, dict[str, RunRecord]] = {}
    for run in report.runs:
        record = RunRecord(run_dir / run.record)
        spec = record.run_spec
        who = f"{run.loop} on {spec.case.name}"
        if run.status != "completed" or record.header.status != "completed":
            rule = "a baseline consists of completed runs"
            raise SpecError(rule, f"{who}: {record.header.status}", "fix it and run it again")
        varied = spec.perturbation or spec.resume_at or spec.stop_after or spec.start_from
        if varied or spec.case.seed_of or spec.case.device_of:
            rule = "a baseline holds one whole run of each loop"
            raise SpecError(
                rule, f"{who} is one of several runs", "run without --seeds, --devices, --resume-at"
            )
        if problems := soundness_problems(record):
            rule = "a baseline consists of sound runs"
            raise SpecError(rule, f"{who}: {problems[0]}", "fix the run")
        found.setdefault(spec.case.name, {})[run.loop] = record
    if not found:
        rule = "a baseline consists of runs"
        raise SpecError(rule, f"none in {run_dir}", "pass another folder")
    return found


def _accepted(
    case: str,
    records: dict[str, RunRecord],
    folder: Path,
    where: Path,
    reason: str,
) -> Accepted:
    reference = next(iter(records.values()))
    facts = reference.header.environment
    key = key_of(reference)
    for name, record in records.items():
        if key_of(record) != key:
            rule = "all loops of a baseline have one key"
            raise SpecError(rule, f"{name} has another key", "accept a run without --arm")
    peaks = _peaks(folder)
    speeds = _speeds(folder, list(records), key.device)
    benched = (folder / FOLDER).is_dir() or (folder / FILE).is_file()
    made_by: Literal["run", "bench"] = "bench" if benched else "run"
    baseline = Baseline(
        case=case,
        reason=reason,
        accepted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit_of(facts),
        made_by=made_by,
        key=key,
        asked=requested_settings(reference),
        versions=facts["versions"],
        loops={name: facts_of(record, peaks.get(name)) for name, record in records.items()},
        speeds=speeds,
        ratios=_ratios(speeds) if speeds else {},
    )
    former = nearest_baseline(find_baselines(where, case) if where.exists() else [], key)
    changes = _changes(former.baseline, baseline) if former else []
    return Accepted(case, baseline_path(where, case, key), baseline, former, tuple(changes))


def _peaks(folder: Path) -> dict[str, float]:
    """Peak allocated bytes by arm, from the passes; empty if there are none."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        memory = Passes(**json.loads(path.read_text(encoding="utf-8"))).memory
        peaks = {arm: found.get("peak_allocated_bytes") for arm, found in memory.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        raise RecordError("passes.json is a complete file", path, "run the bench again") from None
    for arm, count in peaks.items():
        if count is not None and not (count > 0 and math.isfinite(count)):
            raise RecordError("a peak is a positive number of bytes", f"{count} of {arm} in {path}")
    return {arm: count for arm, count in peaks.items() if count is not None}


def _speeds(folder: Path, loops: list[str], device: str) -> Speeds | None:
    """Speeds of the sessions in the folder; None if it has none.

    Raises `SpecError` if the sessions are too few or too noisy for a regression check.
    """
    sessions = read_sessions(folder)
    if not sessions:
        return None
    remedy = "bench longer or on an idle machine, or accept the output folder of harness run"
    speeds = speeds_of(sessions, loops[0], device)
    if speeds is None or len(sessions) < LEAST_SESSIONS:
        rule = f"speeds need {LEAST_SESSIONS} sessions or more"
        raise SpecError(rule, f"{len(sessions)} in {folder}", remedy)
    if any(
        CONTROL not in session.arms or loops[0] not in session.arms for session in speeds.sessions
    ):
        rule = "speeds need a reference and its control"
        raise SpecError(rule, f"one of them is missing in {folder}", "accept another folder")
    doubt = control_of(speeds.ratios(CONTROL, speeds.rounds), Tolerance().visible / 2).doubt
    if doubt:
        raise SpecError("speeds need a control that equals its reference", doubt, remedy)
    kept = {*loops, CONTROL}
    narrowed = [
        session.model_copy(
            update={"arms": {arm: t for arm, t in session.arms.items() if arm in kept}}
        )
        for session in speeds.sessions
    ]
    return speeds.model_copy(update={"sessions": tuple(narrowed)})


def _ratios(speeds: Speeds) -> dict[str, tuple[float, float, float]]:
    found = {}
    for arm in (CONTROL, *speeds.candidates):
        sample = speeds.ratios(arm, speeds.rounds)
        found[arm] = (math.exp(sample.mean), *sample.interval(ALPHA))
    return found


def _changes(before: Baseline, now: Baseline) -> list[CheckItem]:
    """The items of a check of the new baseline against the former one, measured once."""
    current = CurrentFacts(now.case, now.key, now.asked, now.versions, now.loops, {})
    unlike = key_item(before, current)
    if unlike is not None:
        return [unlike]
    items = [*exact_items(before, current), *memory_items(before, current)]
    if before.speeds and now.speeds:
        items += compare_speeds(now.case, before.speeds, now.speeds, Tolerance()).items
    return items
