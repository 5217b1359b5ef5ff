"""Divergence in tensors: initial weights, gradients, weights, optimizer state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.comparison.alignment import Alignment
from harness.results.divergence import Divergence, StageDifference, shown_value
from harness.results.levels import not_recorded

__all__ = ["digests", "initial_weights"]

_TENSOR_COLUMN = {
    "gradients": "gradient",
    "weights": "weight",
    "optimizer_state": "optimizer_state",
}


def initial_weights(both: Alignment) -> Iterator[StageDifference]:
    """Compare the weights before the first step; nothing if a run did not record them."""
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


def digests(both: Alignment) -> Iterator[StageDifference]:
    """Compare gradients, weights and optimizer state of each step by their digests."""
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
                step, stage, tensors.get(step, []), (shown_value(values[0]), shown_value(values[1]))
            )
        yield StageDifference(stage=stage, compared=len(trace), differing=len(steps), first=first)


def _dissenting(both: Alignment, column: str) -> list[tuple[int, int, str]]:
    """Step, rank and tensor where a process differs from its rank 0 in only one of the runs."""
    dissents = []
    for record in (both.reference, both.candidate):
        table = record.dissent
        columns = (table[name].to_pylist() for name in ("step", "rank", "tensor", column))
        rows = zip(*columns, strict=True)
        dissents.append(
            {(at, on, name): value for at, on, name, value in rows if value is not None}
        )
    keys = dict.fromkeys([*dissents[0], *dissents[1]])
    return sorted(
        (key for key in keys if dissents[0].get(key) != dissents[1].get(key)),
        key=lambda key: key[:2],
    )


def _differing_tensors(both: Alignment, column: str) -> dict[int, list[str]]:
    """Names of the parameters whose digests differ, by step, in the model's order.

    A parameter that only one run has, at a step that both tensor traces hold, differs too.
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
