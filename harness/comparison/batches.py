"""Where two runs part in what they were fed: rows, batches, random numbers, losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from harness.comparison.alignment import Alignment
from harness.results.arrow import as_numpy
from harness.results.divergence import Divergence, StageDifference, shown_value, ulp_distance
from harness.results.levels import not_recorded
from harness.results.ranks import rank_of

__all__ = ["LOGGED", "micro_batches", "whole_steps"]

LOGGED = "the loss that the loop shows its user, not the one that was computed"
"""The detail of a difference in what was logged."""


def micro_batches(both: Alignment, world_size: int) -> Iterator[StageDifference]:
    for found in _each_micro_batch(both):
        first = found.first
        if first is not None and first.micro_batch is not None and world_size > 1:
            rank, number = rank_of(first.micro_batch, world_size)
            first = first.model_copy(update={"rank": rank, "micro_batch": number})
            found = found.model_copy(update={"first": first})
        yield found


def whole_steps(both: Alignment) -> Iterator[StageDifference]:
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
                reference=shown_value(values[0]),
                candidate=shown_value(values[1]),
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
    sides = both.reference.logged, both.candidate.logged
    if not all(len(side) for side in sides):
        return None
    until = math.inf
    if "gradients" not in not_recorded(both.reference, both.candidate):
        apart = both.steps.differing("gradients")
        until = int(both.steps.steps[apart[0]]) if len(apart) else math.inf
    # What was told last of a step counts.
    told = [(as_numpy(side["step"])[::-1], as_numpy(side["loss"])[::-1]) for side in sides]
    steps, *rows = np.intersect1d(told[0][0], told[1][0], return_indices=True)
    one, two = (losses[of] for (_, losses), of in zip(told, rows, strict=True))
    trained = as_numpy(both.reference.micro_batches["step"])
    parts = np.bincount(trained, minlength=int(steps.max(initial=0)) + 1)
    slack = np.maximum(parts[steps], 1) * 2.0**-23
    with np.errstate(invalid="ignore"):
        near = np.abs(one - two) <= slack * np.maximum(np.abs(one), np.abs(two))
        near &= np.isfinite(one) & np.isfinite(two)
    nan = np.isnan(one) & np.isnan(two)
    found = np.flatnonzero(~(near | nan | (one == two)) & (steps < until))
    if not len(found):
        return None
    step, pair = int(steps[found[0]]), (float(one[found[0]]), float(two[found[0]]))
    return Divergence(
        step=step,
        stage="loss",
        reference=pair[0],
        candidate=pair[1],
        max_ulp=ulp_distance(*pair),
        detail=LOGGED,
    )


def _data_order(both: Alignment) -> StageDifference:
    """Row ids of each micro-batch; one that only one side has in a step that both took counts."""
    trace = both.micro_batches
    rows = trace.differing("sample_ids")
    places = [(int(trace.steps[row]), int(trace.parts[row])) for row in rows[:1]]  # in order
    common = int(both.steps.steps[-1]) if len(both.steps) else 0
    alone = [key for key in (*trace.reference_only, *trace.candidate_only) if key[0] <= common]
    first = None
    if places or alone:
        step, part = min(places + alone)
        sides = (both.reference.micro_batches, both.candidate.micro_batches)
        ids = [_sample_ids(side, step, part) for side in sides]
        first = Divergence(
            step=step, micro_batch=part, stage="data_order", reference=ids[0], candidate=ids[1]
        )
    return StageDifference(
        stage="data_order", compared=len(trace), differing=len(rows) + len(alone), first=first
    )


def _sample_ids(table: pa.Table, step: int, part: int) -> Any:
    """The row ids of one micro-batch; None where there is none."""
    rows = (as_numpy(table["step"]) == step) & (as_numpy(table["micro_batch"]) == part)
    return next((table["sample_ids"][int(row)].as_py() for row in np.flatnonzero(rows)), None)
