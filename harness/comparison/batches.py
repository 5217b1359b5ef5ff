"""Divergence in the inputs of the model and its loss: rows, batches, random numbers, losses."""

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
from harness.results.record import RunRecord

__all__ = ["LOGGED", "micro_batches", "whole_steps"]

LOGGED = "the loss that the loop logs, not the loss that it computes"
"""The detail of a divergence in the logged loss."""


def micro_batches(both: Alignment, world_size: int) -> Iterator[StageDifference]:
    """Compare every micro-batch of two runs with the same number of processes."""
    for found in _each_micro_batch(both):
        first = found.first
        if first is not None and first.micro_batch is not None and world_size > 1:
            rank, number = rank_of(first.micro_batch, world_size)
            first = first.model_copy(update={"rank": rank, "micro_batch": number})
            found = found.model_copy(update={"first": first})
        yield found


def whole_steps(both: Alignment) -> Iterator[StageDifference]:
    """Compare the rows and the mean loss of each step, for different numbers of processes.

    The division of a step into micro-batches and its random numbers differ by design.
    """
    left, right = (_rows_and_losses(record) for record in (both.reference, both.candidate))
    common = left.keys() & right.keys()
    if not common:
        return
    for stage, place in (("data_order", 0), ("loss", 1)):
        steps = [s for s in sorted(common) if repr(left[s][place]) != repr(right[s][place])]
        first = None
        if steps:
            one, two = left[steps[0]], right[steps[0]]
            first = Divergence(
                step=steps[0],
                stage=stage,
                reference=one[place],
                candidate=two[place],
                max_ulp=ulp_distance(one[1], two[1]) if stage == "loss" else None,
            )
        yield StageDifference(stage=stage, compared=len(common), differing=len(steps), first=first)


def _rows_and_losses(record: RunRecord) -> dict[int, tuple[list[int], float]]:
    """For each step: its rows in ascending order, and the mean of its losses weighted by rows."""
    found: dict[int, tuple[list[int], float]] = {}
    table = record.micro_batches
    columns = (table[name].to_pylist() for name in ("step", "sample_ids"))
    by_step: dict[int, list[tuple[list[int], float]]] = {}
    for step, ids, loss in zip(*columns, record.losses.to_pylist(), strict=True):
        by_step.setdefault(step, []).append((ids, loss))
    for step, several in by_step.items():
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
        found = {column: trace.differing(column) for column in _columns(both, stage)}
        rows = np.unique(np.concatenate(list(found.values())))
        first = None
        if len(rows):
            row = int(rows[0])
            values = trace.pair(next(c for c, at in found.items() if row in at), row)
            first = Divergence(
                step=trace.steps[row],
                micro_batch=trace.indices[row],
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


def _columns(both: Alignment, stage: str) -> list[str]:
    """The columns of a stage: for the loss also the workload's own, if both runs recorded it."""
    tables = both.reference.micro_batches, both.candidate.micro_batches
    own = all(table["task_loss"].null_count < len(table) for table in tables)
    return ["loss", "task_loss"] if stage == "loss" and own else [stage]


def _logged(both: Alignment) -> Divergence | None:
    """The first step at which the logged losses differ although the gradients are equal.

    A loop sums the losses of a step in single precision, in any order. So each micro-batch allows
    a difference of half a unit in the last place. From the first step with different gradients on,
    the logged losses differ as a consequence and are not compared.
    """
    tables = both.reference.logged, both.candidate.logged
    if not all(len(table) for table in tables):
        return None
    until = math.inf
    if "gradients" not in not_recorded(both.reference, both.candidate):
        differing = both.steps.differing("gradients")
        until = int(both.steps.steps[differing[0]]) if len(differing) else math.inf
    # The last loss logged for a step counts.
    logged = [(as_numpy(table["step"])[::-1], as_numpy(table["loss"])[::-1]) for table in tables]
    steps, *rows = np.intersect1d(logged[0][0], logged[1][0], return_indices=True)
    one, two = (losses[of] for (_, losses), of in zip(logged, rows, strict=True))
    trained = as_numpy(both.reference.micro_batches["step"])
    micro_batch_counts = np.bincount(trained, minlength=int(steps.max(initial=0)) + 1)
    slack = np.maximum(micro_batch_counts[steps], 1) * 2.0**-23
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
    """Row ids of each micro-batch; one that only one run has, in a common step, differs."""
    trace = both.micro_batches
    rows = trace.differing("sample_ids")
    places = [(int(trace.steps[row]), int(trace.indices[row])) for row in rows[:1]]  # in order
    common = int(both.steps.steps[-1]) if len(both.steps) else 0
    alone = [key for key in (*trace.reference_only, *trace.candidate_only) if key[0] <= common]
    first = None
    if places or alone:
        step, index = min(places + alone)
        tables = (both.reference.micro_batches, both.candidate.micro_batches)
        ids = [_sample_ids(table, step, index) for table in tables]
        first = Divergence(
            step=step, micro_batch=index, stage="data_order", reference=ids[0], candidate=ids[1]
        )
    return StageDifference(
        stage="data_order", compared=len(trace), differing=len(rows) + len(alone), first=first
    )


def _sample_ids(table: pa.Table, step: int, index: int) -> Any:
    """The row ids of one micro-batch; None if there is no such micro-batch."""
    rows = (as_numpy(table["step"]) == step) & (as_numpy(table["micro_batch"]) == index)
    return next((table["sample_ids"][int(row)].as_py() for row in np.flatnonzero(rows)), None)
