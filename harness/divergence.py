"""Where two traces part: for each stage how much differs, and where it first does.

Only values are compared here, bit for bit; what the differences amount to is `compare`'s to say.
Two numbers are the same when their bits are, so a NaN never hides behind `nan != nan`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.alignment import AlignedTrace, Alignment
from harness.record import RunRecord
from harness.units import digest

__all__ = ["STAGES", "Divergence", "StageDifference", "divergences", "ulp_distance"]

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
    stage: str
    tensor: str | None = None
    """The first parameter, in the model's order, that differs there."""
    tensors_differing: int | None = None
    """How many parameters differ there, where the trace holds each."""
    reference: Any = None
    candidate: Any = None
    max_ulp: float | None = None
    """Distance in units of the last place of single precision, for a scalar."""

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


def ulp_distance(reference: float, candidate: float) -> float | None:
    """How many single-precision numbers the second is away; None unless both are finite."""
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
    found = [
        *_initial_weights(both),
        *_micro_batches(both),
        *_digests(both),
        *_scalars(both.steps),
        *_step_count(both),
        *_evaluation(reference, candidate),
    ]
    return sorted(found, key=lambda stage: STAGES.index(stage.stage))


def _initial_weights(both: Alignment) -> Iterator[StageDifference]:
    left, right = both.reference.header.initial_weights, both.candidate.header.initial_weights
    if left is None or right is None:
        return
    tensors = _differing_tensors(both.tensors, "weight").get(0, [])
    first = None
    if left != right or tensors:
        first = _tensor_divergence(0, "initial_weights", tensors, left, right)
    yield StageDifference(
        stage="initial_weights", compared=1, differing=int(first is not None), first=first
    )


def _micro_batches(both: Alignment) -> Iterator[StageDifference]:
    trace = both.micro_batches
    if not len(trace):
        return
    yield _data_order(both)
    for stage in ("batch_content", "rng", "loss"):
        one, two = trace.bits(stage)
        rows = np.flatnonzero(one != two)
        first = None
        if len(rows):
            row = int(rows[0])
            values: tuple[Any, Any] = (digest(int(one[row])), digest(int(two[row])))
            ulp = None
            if stage == "loss":
                values = trace.reference[stage][row].as_py(), trace.candidate[stage][row].as_py()
                ulp = ulp_distance(*values)
            first = Divergence(
                step=trace.steps[row],
                micro_batch=trace.parts[row],
                stage=stage,
                reference=values[0],
                candidate=values[1],
                max_ulp=ulp,
            )
        yield StageDifference(stage=stage, compared=len(one), differing=len(rows), first=first)


def _data_order(both: Alignment) -> StageDifference:
    """Row ids of each micro-batch; one that only one side has in a step that both took counts."""
    trace = both.micro_batches
    found: list[Divergence] = []
    if not trace.reference["sample_ids"].equals(trace.candidate["sample_ids"]):
        for row, (one, two) in enumerate(zip(*trace.values("sample_ids"), strict=True)):
            if one != two:
                found.append(_order_divergence(trace.steps[row], trace.parts[row], one, two))
    common = int(trace.steps[-1])
    sides: tuple[tuple[Literal["reference", "candidate"], list[tuple[int, int]]], ...] = (
        ("reference", trace.reference_only),
        ("candidate", trace.candidate_only),
    )
    for side, keys in sides:
        table = getattr(both, side).micro_batches
        for step, part in (key for key in keys if key[0] <= common):
            rows = (table["step"].to_numpy() == step) & (table["micro_batch"].to_numpy() == part)
            ids = table["sample_ids"][int(np.flatnonzero(rows)[0])].as_py()
            one, two = (ids, None) if side == "reference" else (None, ids)
            found.append(_order_divergence(step, part, one, two))
    return StageDifference(
        stage="data_order",
        compared=len(trace),
        differing=len(found),
        first=min(found, key=lambda divergence: divergence.place, default=None),
    )


def _order_divergence(step: int, part: int, one: Any, two: Any) -> Divergence:
    return Divergence(step=step, micro_batch=part, stage="data_order", reference=one, candidate=two)


def _digests(both: Alignment) -> Iterator[StageDifference]:
    trace = both.steps
    if not len(trace):
        return
    for stage, column in _TENSOR_COLUMN.items():
        one, two = trace.bits(stage)
        # A step's digest covers its tensors' digests, but a record may have been edited.
        tensors = _differing_tensors(both.tensors, column)
        steps = set(trace.steps[one != two].tolist()) | (tensors.keys() - {0})
        first = None
        if steps:
            step = min(steps)
            row = int(np.searchsorted(trace.steps, step))
            values = digest(int(one[row])), digest(int(two[row]))
            first = _tensor_divergence(step, stage, tensors.get(step, []), *values)
        yield StageDifference(stage=stage, compared=len(one), differing=len(steps), first=first)


def _differing_tensors(trace: AlignedTrace, column: str) -> dict[int, list[str]]:
    """Names of the parameters whose digests differ, by step, in the model's order."""
    one, two = trace.bits(column)
    found: dict[int, list[str]] = {}
    for row in np.flatnonzero(one != two):
        found.setdefault(int(trace.steps[row]), []).append(trace.reference["tensor"][row].as_py())
    return found


def _tensor_divergence(
    step: int, stage: str, tensors: list[str], reference: str, candidate: str
) -> Divergence:
    return Divergence(
        step=step,
        stage=stage,
        tensor=tensors[0] if tensors else None,
        tensors_differing=len(tensors) or None,
        reference=reference,
        candidate=candidate,
    )


def _scalars(trace: AlignedTrace) -> Iterator[StageDifference]:
    if not len(trace):
        return
    for stage in ("grad_norm", "learning_rate"):
        one, two = trace.reference[stage], trace.candidate[stage]
        if stage == "grad_norm":
            left, right = trace.bits(stage)
            rows = np.flatnonzero(left != right).tolist()
        else:
            pairs = zip(one.to_pylist(), two.to_pylist(), strict=True)
            rows = [] if one.equals(two) else [i for i, (a, b) in enumerate(pairs) if a != b]
        first = None
        if rows:
            a, b = one[rows[0]].as_py(), two[rows[0]].as_py()
            first = Divergence(
                step=trace.steps[rows[0]],
                stage=stage,
                reference=a,
                candidate=b,
                max_ulp=ulp_distance(a, b) if stage == "grad_norm" else None,
            )
        yield StageDifference(stage=stage, compared=len(one), differing=len(rows), first=first)


def _step_count(both: Alignment) -> Iterator[StageDifference]:
    """The number of updates; says nothing where a run was cut short, since it had no chance."""
    headers = both.reference.header, both.candidate.header
    if any(header.status != "completed" for header in headers):
        return
    left, right = len(both.reference.steps), len(both.candidate.steps)
    first = None
    if left != right:
        first = Divergence(
            step=min(left, right) + 1, stage="step_count", reference=left, candidate=right
        )
    yield StageDifference(stage="step_count", compared=1, differing=int(left != right), first=first)


def _evaluation(reference: RunRecord, candidate: RunRecord) -> Iterator[StageDifference]:
    left = {found.step: found for found in reference.header.evaluations}
    right = {found.step: found for found in candidate.header.evaluations}
    found: list[Divergence] = []
    for step in sorted(left.keys() | right.keys()):
        one, two = left.get(step), right.get(step)
        # Text, not numbers: two NaN print alike, and what is printed is what was measured.
        a, b = one and one.model_dump_json(), two and two.model_dump_json()
        if a != b:
            found.append(
                Divergence(
                    step=step,
                    stage="evaluation",
                    reference=one and {"rows": one.rows, **one.metrics},
                    candidate=two and {"rows": two.rows, **two.metrics},
                )
            )
    if left or right:
        yield StageDifference(
            stage="evaluation",
            compared=len(left.keys() & right.keys()),
            differing=len(found),
            first=found[0] if found else None,
        )
