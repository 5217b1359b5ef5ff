"""Where two traces part: for each stage how much differs, and where it first does.

Only values are compared here, bit for bit; what the differences amount to is `compare`'s to say.
Two numbers are the same when their bits are, so a NaN never hides behind `nan != nan`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from harness.alignment import Alignment
from harness.columns import as_numpy
from harness.detail import (
    factor_detail,
    factors,
    order_detail,
    rate_detail,
    relative_distance,
    update_detail,
)
from harness.levels import not_recorded
from harness.ranks import rank_of
from harness.record import Evaluation, RunRecord
from harness.settings import setting_differences, settings_compared
from harness.units import digest

__all__ = ["LOGGED", "STAGES", "Divergence", "StageDifference", "divergences", "ulp_distance"]

STAGES = (
    "config",
    "initial_weights",
    "data_order",
    "batch_content",
    "rng",
    "loss",
    "gradients",
    "grad_norm",
    "learning_rate",
    "weights",
    "optimizer_state",
    "step_count",
    "evaluation",
)
"""Stages of training in causal order."""

LOGGED = "the loss that the loop shows its user, not the one that was computed"
"""The detail of a difference in what was logged."""

_TENSOR_COLUMN = {
    "gradients": "gradient",
    "weights": "weight",
    "optimizer_state": "optimizer_state",
}


class Divergence(BaseModel):
    """One place where two runs differ."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    step: int
    micro_batch: int | None = None
    rank: int | None = None
    """Of several processes that train together, the one in which the two differ."""
    stage: str
    tensor: str | None = None
    """The first parameter, in the model's order, that differs there."""
    tensors_differing: int | None = None
    """How many parameters differ there, where the trace holds each."""
    reference: Any = None
    candidate: Any = None
    max_ulp: float | None = None
    """Distance in units of the last place of single precision, for a scalar."""
    relative: float | None = None
    """|candidate - reference| over |reference|, for a scalar."""
    detail: str = ""
    """What exactly differs: which rows, what factor, from which step on."""

    @property
    def place(self) -> tuple[int, int, int]:
        """Sorts by step, then by stage, then by micro-batch."""
        return self.step, STAGES.index(self.stage), self.micro_batch or 0


class StageDifference(BaseModel):
    """How much of one stage differs."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    stage: str
    compared: int
    """Values that both sides have."""
    differing: int
    """Values that differ, and those that only one side has."""
    first: Divergence | None = None
    follows: str | None = None
    """An earlier stage whose difference may have made this one; None: nothing earlier explains it,
    so that it is one of its own."""


def ulp_distance(reference: float | None, candidate: float | None) -> float | None:
    """How many single-precision numbers the second is away; None unless both are finite."""
    if reference is None or candidate is None:
        return None
    if not (np.isfinite(reference) and np.isfinite(candidate)):
        return None
    with np.errstate(over="ignore"):
        pair = np.array([reference, candidate], dtype=np.float32).view(np.int32).astype(np.int64)
    ordered = np.where(pair < 0, -(pair & 0x7FFFFFFF), pair)
    return float(abs(ordered[0] - ordered[1]))


def divergences(reference: RunRecord, candidate: RunRecord) -> list[StageDifference]:
    """What differs, stage by stage in causal order. A stage that was not recorded is left out.

    Raises `RecordError` where a trace is damaged.
    """
    both = Alignment(reference, candidate)
    sizes = [side.spec.case.world_size for side in (reference, candidate)]
    found = [
        *_config(both),
        *_initial_weights(both),
        *(_micro_batches(both, sizes[0]) if sizes[0] == sizes[1] else _whole_steps(both)),
        *_digests(both),
        *_scalars(both),
        *_step_count(both),
        *_evaluation(reference, candidate),
    ]
    found = [_told_exactly(both, stage) for stage in found]
    return _told_apart(sorted(found, key=lambda stage: STAGES.index(stage.stage)))


# Where a difference in a stage may come from, besides its own causes.
_COMES_FROM = {
    "batch_content": ("data_order", "rng"),
    "rng": ("data_order", "batch_content", "evaluation"),
    "loss": ("initial_weights", "data_order", "batch_content", "rng", "weights"),
    "gradients": ("initial_weights", "data_order", "batch_content", "rng", "loss", "weights"),
    "grad_norm": ("gradients",),
    "weights": ("initial_weights", "gradients", "learning_rate"),
    "optimizer_state": ("gradients", "weights", "learning_rate"),
    "step_count": ("data_order",),
    "evaluation": ("initial_weights", "weights", "step_count"),
}


def _told_apart(stages: list[StageDifference]) -> list[StageDifference]:
    """Each difference with the earliest one that it may follow from."""
    firsts = {stage.stage: stage.first for stage in stages if stage.first is not None}
    told = []
    for stage in stages:
        earlier = [
            firsts[name]
            for name in _COMES_FROM.get(stage.stage, ())
            if stage.first is not None and name in firsts and firsts[name].place < stage.first.place
        ]
        if earlier:
            source = min(earlier, key=lambda divergence: divergence.place)
            stage = stage.model_copy(update={"follows": source.stage})
        told.append(stage)
    return told


def _told_exactly(both: Alignment, stage: StageDifference) -> StageDifference:
    """With words on what differs, where the traces can tell."""
    first = stage.first
    if first is None:
        return stage
    step, detail = first.step, first.detail
    if stage.stage == "data_order":
        detail = order_detail(first.reference, first.candidate)
    elif stage.stage == "learning_rate":
        rates = [
            [max(each or [], default=math.nan) for each in side.steps["learning_rate"].to_pylist()]
            for side in (both.reference, both.candidate)
        ]
        detail = rate_detail(rates[0], rates[1], step)
    elif stage.stage == "gradients":
        ratios = factors(both.reference, both.candidate, step)
        detail = factor_detail(ratios, first.tensors_differing or 0)
    elif stage.stage == "weights":
        detail = update_detail(both.reference, both.candidate, step)
    relative = relative_distance(first.reference, first.candidate)
    exact = first.model_copy(update={"detail": detail, "relative": relative})
    return stage.model_copy(update={"first": exact})


def _config(both: Alignment) -> Iterator[StageDifference]:
    """Settings that both sides told of before their first step."""
    headers = both.reference.header, both.candidate.header
    compared = settings_compared(*headers)
    if not compared:
        return
    different = setting_differences(*headers)
    first = None
    if different:
        leading = min(different, key=lambda setting: not setting.decisive)
        first = Divergence(
            step=0,
            stage="config",
            reference={leading.name: leading.reference},
            candidate={leading.name: leading.candidate},
            detail=", ".join(setting.name for setting in different),
        )
    yield StageDifference(stage="config", compared=compared, differing=len(different), first=first)


def _initial_weights(both: Alignment) -> Iterator[StageDifference]:
    left, right = both.reference.header.initial_weights, both.candidate.header.initial_weights
    if left is None or right is None:
        return
    tensors = _differing_tensors(both, "weight").get(0, [])
    first = None
    if left != right or tensors:
        first = _tensor_divergence(0, "initial_weights", tensors, (left, right))
    yield StageDifference(
        stage="initial_weights", compared=1, differing=int(first is not None), first=first
    )


def _micro_batches(both: Alignment, world_size: int) -> Iterator[StageDifference]:
    for found in _each_micro_batch(both):
        first = found.first
        if first is not None and first.micro_batch is not None and world_size > 1:
            rank, number = rank_of(first.micro_batch, world_size)
            first = first.model_copy(update={"rank": rank, "micro_batch": number})
            found = found.model_copy(update={"first": first})
        yield found


def _whole_steps(both: Alignment) -> Iterator[StageDifference]:
    """Where the two had other numbers of processes: which rows each step took, and its mean loss.

    How a step was cut into micro-batches, and from which random numbers, differs by design.
    """
    sides = [_rows_and_losses(side.micro_batches) for side in (both.reference, both.candidate)]
    common = sides[0].keys() & sides[1].keys()
    if not common:
        return
    for stage, place in (("data_order", 0), ("loss", 1)):
        steps = [s for s in sorted(common) if repr(sides[0][s][place]) != repr(sides[1][s][place])]
        first = None
        if steps:
            one, two = (side[steps[0]] for side in sides)
            first = Divergence(
                step=steps[0],
                stage=stage,
                reference=one[place],
                candidate=two[place],
                max_ulp=ulp_distance(one[1], two[1]) if stage == "loss" else None,
            )
        yield StageDifference(stage=stage, compared=len(common), differing=len(steps), first=first)


def _rows_and_losses(table: pa.Table) -> dict[int, tuple[list[int], float]]:
    """For each step its rows in ascending order, and the mean of its losses weighted by rows."""
    found: dict[int, tuple[list[int], float]] = {}
    columns = (table[name].to_pylist() for name in ("step", "sample_ids", "loss"))
    parts: dict[int, list[tuple[list[int], float]]] = {}
    for step, ids, loss in zip(*columns, strict=True):
        parts.setdefault(step, []).append((ids, loss))
    for step, several in parts.items():
        count = sum(len(ids) for ids, _ in several)
        mean = math.fsum(len(ids) * loss for ids, loss in several) / count if count else math.nan
        found[step] = (sorted(row for ids, _ in several for row in ids), mean)
    return found


def _each_micro_batch(both: Alignment) -> Iterator[StageDifference]:
    trace = both.micro_batches
    if not len(trace):
        return
    yield _data_order(both)
    for stage in ("batch_content", "rng", "loss"):
        rows = trace.differing(stage)
        first = None
        if len(rows):
            row = int(rows[0])
            values = trace.pair(stage, row)
            first = Divergence(
                step=trace.steps[row],
                micro_batch=trace.parts[row],
                stage=stage,
                reference=_shown(values[0]),
                candidate=_shown(values[1]),
                max_ulp=ulp_distance(*values) if stage == "loss" else None,
            )
        differing = len(rows)
        shown = _logged(both) if stage == "loss" else None
        if shown is not None and (first is None or shown.step < first.step):
            first, differing = shown, differing + 1
        yield StageDifference(stage=stage, compared=len(trace), differing=differing, first=first)


def _logged(both: Alignment) -> Divergence | None:
    """The first step at which the loops showed their users another loss, from equal gradients.

    It is made of a step's losses in single precision, in an order of its own, so each of them may
    move it by half a unit in the last place. Where the gradients differ too, the loss that was
    trained on is another one, and what is shown follows from it.
    """
    known = "gradients" not in not_recorded(both.reference, both.candidate)
    apart = both.steps.differing("gradients") if known else ()
    until = int(both.steps.steps[apart[0]]) if len(apart) else math.inf
    one, two = (
        dict(zip(side.logged["step"].to_pylist(), side.logged["loss"].to_pylist(), strict=True))
        for side in (both.reference, both.candidate)
    )
    parts = Counter(both.reference.micro_batches["step"].to_pylist())
    for step in sorted(step for step in one.keys() & two.keys() if step < until):
        slack = max(parts[step], 1) * 2.0**-23
        if not math.isclose(one[step], two[step], rel_tol=slack) and repr(one[step]) != repr(
            two[step]
        ):
            return Divergence(
                step=step,
                stage="loss",
                reference=one[step],
                candidate=two[step],
                max_ulp=ulp_distance(one[step], two[step]),
                detail=LOGGED,
            )
    return None


def _data_order(both: Alignment) -> StageDifference:
    """Row ids of each micro-batch; one that only one side has in a step that both took counts."""
    trace = both.micro_batches
    places = [
        (int(trace.steps[row]), int(trace.parts[row])) for row in trace.differing("sample_ids")
    ]
    common = int(both.steps.steps[-1]) if len(both.steps) else 0
    places += [key for key in (*trace.reference_only, *trace.candidate_only) if key[0] <= common]
    first = None
    if places:
        step, part = min(places)
        sides = (both.reference.micro_batches, both.candidate.micro_batches)
        ids = [_sample_ids(side, step, part) for side in sides]
        first = Divergence(
            step=step, micro_batch=part, stage="data_order", reference=ids[0], candidate=ids[1]
        )
    return StageDifference(
        stage="data_order", compared=len(trace), differing=len(places), first=first
    )


def _sample_ids(table: pa.Table, step: int, part: int) -> Any:
    """The row ids of one micro-batch; None where there is none."""
    rows = (as_numpy(table["step"]) == step) & (as_numpy(table["micro_batch"]) == part)
    return next((table["sample_ids"][int(row)].as_py() for row in np.flatnonzero(rows)), None)


def _digests(both: Alignment) -> Iterator[StageDifference]:
    trace = both.steps
    if not len(trace):
        return
    absent = not_recorded(both.reference, both.candidate)
    for stage, column in _TENSOR_COLUMN.items():
        if stage in absent:
            continue
        rows = {int(trace.steps[row]): int(row) for row in trace.differing(stage)}
        # A step's digest covers its tensors' digests, but a record may have been edited.
        tensors = _differing_tensors(both, column)
        steps = rows.keys() | {step for step in tensors if step or stage != "weights"}
        dissent = _dissenting(both, column)
        first = None
        if dissent and (not steps or dissent[0][0] < min(steps)):
            step, rank, _ = dissent[0]
            together = [name for at, on, name in dissent if (at, on) == (step, rank)]
            first = _tensor_divergence(step, stage, together, (None, None)).model_copy(
                update={"rank": rank}
            )
            steps = steps | {place[0] for place in dissent}
        elif steps:
            step = min(steps)
            values = trace.pair(stage, rows[step]) if step in rows else (None, None)
            first = _tensor_divergence(
                step, stage, tensors.get(step, []), (_shown(values[0]), _shown(values[1]))
            )
        yield StageDifference(stage=stage, compared=len(trace), differing=len(steps), first=first)


def _dissenting(both: Alignment, column: str) -> list[tuple[int, int, str]]:
    """Step, rank and tensor where a process dissents from its first one on one side alone."""
    sides = []
    for record in (both.reference, both.candidate):
        table = record.dissent
        columns = (table[name].to_pylist() for name in ("step", "rank", "tensor", column))
        rows = zip(*columns, strict=True)
        sides.append({(at, on, name): value for at, on, name, value in rows if value is not None})
    keys = dict.fromkeys([*sides[0], *sides[1]])
    return sorted(
        (key for key in keys if sides[0].get(key) != sides[1].get(key)), key=lambda key: key[:2]
    )


def _differing_tensors(both: Alignment, column: str) -> dict[int, list[str]]:
    """Names of the parameters whose digests differ, by step, in the model's order.

    A parameter that only one side has, at a step that the tensor traces of both hold, differs too.
    """
    trace = both.tensors
    found: dict[int, list[str]] = {}
    for row in trace.differing(column):
        found.setdefault(int(trace.steps[row]), []).append(
            trace.reference["tensor"][int(row)].as_py()
        )
    for name, step in both.unmatched_tensors:
        found.setdefault(step, []).append(name)
    return found


def _tensor_divergence(
    step: int, stage: str, tensors: list[str], values: tuple[Any, Any]
) -> Divergence:
    return Divergence(
        step=step,
        stage=stage,
        tensor=tensors[0] if tensors else None,
        tensors_differing=len(tensors) or None,
        reference=values[0],
        candidate=values[1],
    )


def _scalars(both: Alignment) -> Iterator[StageDifference]:
    trace = both.steps
    if not len(trace):
        return
    absent = not_recorded(both.reference, both.candidate)
    for stage in ("grad_norm", "learning_rate"):
        if stage in absent:
            continue
        rows = trace.differing(stage)
        first = None
        if len(rows):
            values = trace.pair(stage, int(rows[0]))
            first = Divergence(
                step=trace.steps[rows[0]],
                stage=stage,
                reference=values[0],
                candidate=values[1],
                max_ulp=ulp_distance(*values) if stage == "grad_norm" else None,
            )
        yield StageDifference(stage=stage, compared=len(trace), differing=len(rows), first=first)


def _shown(value: Any) -> Any:
    """Digests in hexadecimal; anything else as it is."""
    return digest(value) if isinstance(value, int) else value


def _step_count(both: Alignment) -> Iterator[StageDifference]:
    """The number of updates; says nothing where a run was cut short, since it had no chance."""
    if any(side.header.status != "completed" for side in (both.reference, both.candidate)):
        return
    left, right = len(both.reference.steps), len(both.candidate.steps)
    first = None
    if left != right:
        first = Divergence(
            step=min(left, right) + 1, stage="step_count", reference=left, candidate=right
        )
    yield StageDifference(stage="step_count", compared=1, differing=int(left != right), first=first)


def _evaluation(reference: RunRecord, candidate: RunRecord) -> Iterator[StageDifference]:
    """Evaluations at the same step, and the last ones of both, whenever they were.

    Where a run was cut short, only those before: it had no chance to make the others.
    """
    left, right = reference.header.evaluations, candidate.header.evaluations
    cuts = [s.header.steps for s in (reference, candidate) if s.header.status != "completed"]
    if cuts:
        left, right = (tuple(e for e in side if e.step < min(cuts)) for side in (left, right))
    if not (left or right):
        return
    last = max(found[-1].step for found in (left, right) if found)
    before: dict[int, list[Evaluation | None]] = {}
    for side, evaluations in enumerate((left, right)):
        for number, evaluation in enumerate(evaluations, start=1):
            step = last if number == len(evaluations) else evaluation.step
            before.setdefault(step, [None, None])[side] = evaluation
    found = [
        Divergence(
            step=step,
            stage="evaluation",
            reference=one and {"rows": one.rows, **one.metrics, **one.loss_metrics},
            candidate=two and {"rows": two.rows, **two.metrics, **two.loss_metrics},
        )
        for step, (one, two) in sorted(before.items())
        if _content(one) != _content(two) or _other_losses(one, two)
    ]
    yield StageDifference(
        stage="evaluation",
        compared=sum(None not in pair for pair in before.values()),
        differing=len(found),
        first=found[0] if found else None,
    )


def _other_losses(one: Evaluation | None, two: Evaluation | None) -> bool:
    """Whether a loss that both tell differs; not every loop tells it."""
    if one is None or two is None:
        return False
    common = one.loss_metrics.keys() & two.loss_metrics.keys()
    return any(repr(one.loss_metrics[name]) != repr(two.loss_metrics[name]) for name in common)


def _content(evaluation: Evaluation | None) -> str:
    """What was measured, as text: two NaN print alike, and the sign of a zero is kept."""
    return repr(evaluation and (evaluation.rows, sorted(evaluation.metrics.items())))
