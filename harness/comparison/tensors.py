"""Divergence in tensors: initial weights, gradients, weights, optimizer state."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.comparison.alignment import Alignment
from harness.comparison.gradients_in_use import GradientsInUse, gradients_in_use
from harness.comparison.shares import with_rank_of_share
from harness.results.divergence import Divergence, StageDifference, shown_value
from harness.results.levels import not_recorded

__all__ = ["differing_gradients", "digests", "initial_weights", "missing_gradients"]

_TENSOR_COLUMN = {
    "gradients": "gradient",
    "weights": "weight",
    "optimizer_state": "optimizer_state",
}


def initial_weights(both: Alignment) -> Iterator[StageDifference]:
    """Compare the weights before the first step; nothing if a run did not record them.

    A tensor that only one run has is a difference of the initial weights, and of no later stage;
    unless the other may have it, out of sight.
    """
    left, right = both.reference.header.initial_weights, both.candidate.header.initial_weights
    if left is None or right is None:
        return
    if not both.same_model and not all(map(len, both.names)):
        return
    alone = [n for n in itertools.chain(*both.only_in_one) if n not in both.out_of_sight]
    tensors = [*_differing_tensors(both, "weight").get(0, []), *alone]
    by_tensor = bool(len(both.tensors)) and int(both.tensors.steps[0]) == 0
    if not (both.same_model or by_tensor or tensors):
        return  # the same names in another order: only digests of all weights are recorded
    first = None
    if tensors or (both.same_model and left != right):
        first = _tensor_divergence(0, "initial_weights", tensors, (left, right))
        first = with_rank_of_share(both, first)
        first = first.model_copy(update={"detail": _alone_detail(both)})
    yield StageDifference(
        stage="initial_weights", compared=1, differing=int(first is not None), first=first
    )


def _alone_detail(both: Alignment) -> str:
    """Which tensors only one run has; empty if there are none."""
    known = {*both.reference.header.parameter_names, *both.candidate.header.parameter_names}
    one, two = ([n for n in side if n not in both.out_of_sight] for side in both.only_in_one)
    word = "parameter" if not known or known & {*one, *two} else "tensor"
    if one and two:
        return (
            f"{_named(one)} {_is(one)} only in the reference, {_named(two)} {_is(two)} only in the "
            "candidate"
        )
    names, change, side = (one, "fewer", "candidate") if one else (two, "more", "reference")
    if not names:
        return ""
    count = "one" if len(names) == 1 else str(len(names))
    what = word if len(names) == 1 else f"{word}s"
    return f"{count} {what} {change}: {_named(names)} {_is(names)} missing in the {side}"


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def differing_gradients(both: Alignment) -> GradientsInUse:
    """The gradients that differ and have an effect."""
    if "gradients" in not_recorded(both.reference, both.candidate):
        return GradientsInUse({}, frozenset())
    return gradients_in_use(both, _differing_tensors(both, "gradient"))


def digests(both: Alignment, gradients: GradientsInUse) -> Iterator[StageDifference]:
    """Compare gradients, weights and optimizer state of each step by their digests."""
    trace = both.steps
    if not len(trace):
        return
    absent = not_recorded(both.reference, both.candidate)
    for stage, column in _TENSOR_COLUMN.items():
        if stage in absent:
            continue
        held = both.recorded(stage)
        rows: dict[int, int] = {}
        if both.same_model:  # else the digests of all tensors cover other ones
            rows = {int(trace.steps[r]): int(r) for r in trace.differing(stage) if held[r]}
        elif not len(both.tensors):
            continue
        # A step's digest covers its tensors' digests, but a record may have been edited.
        if stage == "gradients":
            tensors = gradients.tensors
            rows = {step: row for step, row in rows.items() if step not in gradients.idle_steps}
        else:
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
            first = with_rank_of_share(both, first)
        compared = {*trace.steps[held].tolist(), *steps}
        yield StageDifference(
            stage=stage, compared=len(compared), differing=len(steps), first=first
        )


def missing_gradients(both: Alignment, step: int) -> str:
    """Which parameters have a gradient in only one run at a step; empty if there are none.

    The digest 0 states that a parameter has no gradient.
    """
    trace = both.tensors
    rows = np.flatnonzero(trace.steps == step)
    if not len(rows):
        return ""
    at = slice(int(rows[0]), int(rows[-1]) + 1)  # the steps are in order
    names = trace.reference["tensor"][at].to_pylist()
    one, two = (table["gradient"][at].to_pylist() for table in (trace.reference, trace.candidate))
    # Frozen parameters and buffers have none in either run.
    pairs = [row for row in zip(names, one, two, strict=True) if row[1] or row[2]]
    parts, lacking = [], 0
    for side, place in (("reference", 1), ("candidate", 2)):
        without = [row[0] for row in pairs if row[place] == 0 and row[3 - place] != 0]
        lacking += len(without)
        if without:
            first = f"first {without[0]}" if len(without) > 1 else without[0]
            have = "has" if len(without) == 1 else "have"
            total = f"{len(pairs)} tensors" if len(pairs) != 1 else "1 tensor"
            parts.append(f"{len(without)} of {total} {have} no gradient in the {side}, {first}")
    others = sum(left != right for _, left, right in pairs) - lacking
    if parts and others:
        parts.append(f"{others} {'other differs' if others == 1 else 'others differ'}")
    return "; ".join(parts)


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

    A row that only one run has, at a step that both tensor traces hold, differs too. A tensor that
    one run does not have at all is left out.
    """
    trace = both.tensors
    found: dict[int, list[str]] = {}
    in_shares = both.reference.header.in_shares or both.candidate.header.in_shares
    for row in trace.differing(column):
        if in_shares and None in trace.pair(column, int(row)):
            continue  # a process left no share of it, which is a doubt and no difference
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
