"""Compares a run with the log of one that was not traced, as far as the log goes.

Each value that both hold is compared at the steps that both have. It agrees if it differs by at
most half a unit of the last digit that the log holds, and by what rounding may change. So the
outcome is never `identical`: it is `different` with the first value that differs, or `inconclusive`
with what was compared and what the log does not hold. Two logs are compared in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.comparison.log_matching import Matched, MatchedLog, match_log
from harness.comparison.log_readings import LoggedRun, RecordedRun
from harness.comparison.validity import order_faults
from harness.errors import RecordError
from harness.results.comparison import Comparison, incomparable
from harness.results.divergence import STAGES, Divergence, StageDifference
from harness.results.imported.log import Log
from harness.results.record import RunRecord

__all__ = ["compare_log"]

_FEW = 6
"""Names that a doubt lists."""
_WITHOUT_VALUES = ("config", "step_count")


def compare_log(
    case: str, labels: tuple[str, str], reference: RunRecord | Log, candidate: RunRecord | Log
) -> Comparison:
    """Compare two runs, at least one of which is a log. `labels` name them in messages.

    Never raises for the content of a record: a damaged one makes the pair `incomparable`.
    """
    # The log that is read as such; of two logs the reference.
    log, other = (reference, candidate) if isinstance(reference, Log) else (candidate, reference)
    assert isinstance(log, Log)
    log_first = log is reference
    names = labels if log_first else labels[::-1]
    try:
        obstacles = list(_obstacles(other, names[1]))
        if obstacles:
            return incomparable(case, *labels, "; ".join(obstacles))
        run = LoggedRun(other) if isinstance(other, Log) else RecordedRun(other)
        result = match_log(log, run)
    except RecordError as error:
        return incomparable(case, *labels, str(error))
    if not result.found:
        return incomparable(case, *labels, _nothing_common(log, run, names))
    stages = list(_stages(result.found, log_first))
    firsts = [stage.first for stage in stages if stage.first is not None]
    first = min(firsts, key=lambda divergence: divergence.place, default=None)
    doubts = [
        *(_agreement(result.found, names) if first is None else ()),
        *_not_recorded(result, log, other, names),
        *_assumptions(result.found, names),
        *_meanings(result.found, log, names),
        *_not_finite(result.found, names),
        *_run_doubts(other, names[1]),
        *_lengths(log, run, names),
    ]
    return Comparison(
        case=case,
        reference=labels[0],
        candidate=labels[1],
        outcome="inconclusive" if first is None else "different",
        steps=len({step for one in result.found for step in one.steps}),
        first_divergence=first,
        stages=tuple(stages),
        doubts=tuple(doubts),
    )


def _obstacles(run: RunRecord | Log, label: str) -> Iterator[str]:
    if isinstance(run, Log):
        return
    if run.header.status == "not run":
        yield f"{label} not run: {run.header.error}"
    elif run.spec.observed != "trace":
        yield f"{label} was a {run.spec.observed} run and holds no values; trace it"
    else:
        yield from (f"{label}: {fault}" for fault in order_faults(run))


def _stages(found: Sequence[Matched], log_first: bool) -> Iterator[StageDifference]:
    """The stages that differ: one that agrees agrees only as far as it was logged."""
    for stage in STAGES:
        matched = [one for one in found if one.stage == stage]
        differing = [one for one in matched if one.differing]
        if not differing:
            continue
        one = min(differing, key=lambda each: each.differing[0][0])
        step, logged, computed = one.differing[0]
        values = (logged, computed) if log_first else (computed, logged)
        relative = abs(values[1] - values[0]) / abs(values[0]) if values[0] else None
        assumed = f", if {one.reading}" if one.reading else ""
        first = Divergence(
            step=step + one.shift,
            stage=stage,
            reference=values[0] if stage != "evaluation" else {one.name: values[0]},
            candidate=values[1] if stage != "evaluation" else {one.name: values[1]},
            relative=relative,
            detail=f"{one.name} was logged with {one.series.precision}{assumed}",
        )
        yield StageDifference(
            stage=stage,
            compared=sum(len(one.steps) for one in matched),
            differing=sum(len(one.differing) for one in differing),
            first=first,
        )


def _agreement(found: Sequence[Matched], names: tuple[str, str]) -> Iterator[str]:
    parts = [
        f"{one.name} at {len(one.steps)} {'step' if len(one.steps) == 1 else 'steps'} "
        f"({one.series.precision})"
        for one in found[:_FEW]
    ]
    more = f" and {len(found) - _FEW} more metrics" if len(found) > _FEW else ""
    yield (
        f"no logged value of {names[0]} differs by more than half a unit of its last digit, with "
        f"an allowance for the rounding of sums: {', '.join(parts)}{more}"
    )


def _not_recorded(
    result: MatchedLog, log: Log, other: RunRecord | Log, names: tuple[str, str]
) -> Iterator[str]:
    compared = {one.stage for one in result.found}
    absent = [stage for stage in STAGES if stage not in (*compared, *_WITHOUT_VALUES)]
    remedy = "trace the training with `harness trace` to compare them"
    yield f"not recorded in a log: {', '.join(absent)}; {remedy}"
    unmatched = [*result.not_compared, *log.not_used]
    if isinstance(other, Log):
        compared_names = {one.name for one in result.found}
        unmatched += [name for name in other.training if name not in compared_names]
    listed = list(dict.fromkeys(unmatched))
    if listed:
        more = f" and {len(listed) - _FEW} more" if len(listed) > _FEW else ""
        text = ", ".join(listed[:_FEW])
        yield f"not compared, as {names[1]} has no such value there: {text}{more}"


def _assumptions(found: Sequence[Matched], names: tuple[str, str]) -> Iterator[str]:
    assumed = dict.fromkeys(one.reading for one in found if one.reading and not one.differing)
    if any(one.shift for one in found):
        assumed["its steps count from 0"] = None
    for step in (step for one in found for step in one.resumed):
        assumed[f"its training was resumed from a checkpoint at step {step}"] = None
    for words in assumed:
        yield f"{names[0]} agrees only if {words}"


def _meanings(found: Sequence[Matched], log: Log, names: tuple[str, str]) -> Iterator[str]:
    """A doubt about a loss that differs in every meaning that was tried."""
    differs = any(one.name == "loss" and one.differing for one in found)
    if differs and log.kind != "trainer_state":
        yield (
            f"{names[0]} does not state what its loss is; if it is none that was tried, such as a "
            "moving average, this difference proves nothing"
        )


def _not_finite(found: Sequence[Matched], names: tuple[str, str]) -> Iterator[str]:
    for one in found:
        if one.not_finite:
            step = one.not_finite[0] + one.shift
            yield f"{one.name} is not finite at step {step}, which is never an agreement"


def _run_doubts(run: RunRecord | Log, label: str) -> Iterator[str]:
    if isinstance(run, Log):
        return
    header = run.header
    if header.status not in ("completed", "stopped"):
        yield f"{label} {header.status}: {header.error or 'no reason recorded'}"
    if header.probe_fault:
        yield f"{label}: the harness's probe failed and detached: {header.probe_fault}"
    yield from (f"{label}: {sentence.removesuffix('.')}" for sentence in header.unseen)


def _lengths(log: Log, run: RecordedRun | LoggedRun, names: tuple[str, str]) -> Iterator[str]:
    if log.last_step != run.last_step:
        yield f"{names[0]} ends at step {log.last_step}, {names[1]} at step {run.last_step}"


def _nothing_common(log: Log, run: RecordedRun | LoggedRun, names: tuple[str, str]) -> str:
    quantities = [*log.training, *log.evaluations]
    listed = ", ".join(quantities[:_FEW])
    return (
        f"{names[0]} and {names[1]} have no value in common: the log holds {listed} up to step "
        f"{log.last_step}, {names[1]} ends at step {run.last_step}"
    )
