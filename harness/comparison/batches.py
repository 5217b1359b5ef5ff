"""Divergence in the inputs of the model and its loss: rows, batches, random numbers, losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.comparison.alignment import AlignedTrace, Alignment
from harness.comparison.circumstances import passes_draw, same_rows_by_input
from harness.comparison.likeness import content_differs
from harness.comparison.logged_losses import logged_loss
from harness.comparison.updates import Cut, ids_comparable, update_stages
from harness.results.arrow import as_numpy
from harness.results.divergence import Divergence, StageDifference, shown_value, ulp_distance
from harness.results.ranks import rank_of
from harness.results.record import OUTSIDE_OF_MODULES, READ_FROM_GRAPH
from harness.units import counted

__all__ = ["BACKWARD", "micro_batches"]

BACKWARD = "the losses that go backward differ, the workload's own loss agrees"
"""The detail of a divergence in the scalar of `backward` alone."""


GENERATORS = {"rng_python": "Python's generator", "rng_numpy": "NumPy's generator"}


def micro_batches(
    both: Alignment, cut: Cut | None, idle_steps: frozenset[int]
) -> Iterator[StageDifference]:
    """Compare every micro-batch, except in the steps that the two divide differently (`cut`).

    `idle_steps`: those at which only gradients without an effect differ."""
    trace = both.micro_batches
    if cut is not None:
        trace = trace.without(np.isin(trace.steps, list(cut.steps)))
    world_size = both.reference.spec.processes
    found = [*_each_micro_batch(both, trace, cut, idle_steps)] if len(trace) else []
    for place, stage in enumerate(found):
        first = stage.first
        if first is not None and first.micro_batch is not None and world_size > 1:
            rank, index = rank_of(first.micro_batch, world_size)
            first = first.model_copy(update={"rank": rank, "micro_batch": index})
            found[place] = stage.model_copy(update={"first": first})
    whole = [*update_stages(both, cut)] if cut is not None else []
    yield from _joined([*found, *whole])


def _joined(found: Sequence[StageDifference]) -> Iterator[StageDifference]:
    """One difference per stage: of some steps by micro-batch, of others by whole updates."""
    for stage in dict.fromkeys(each.stage for each in found):
        parts = [each for each in found if each.stage == stage]
        firsts = [part.first for part in parts if part.first is not None]
        yield StageDifference(
            stage=stage,
            compared=sum(part.compared for part in parts),
            differing=sum(part.differing for part in parts),
            first=min(firsts, key=lambda first: first.place, default=None),
        )


def _each_micro_batch(
    both: Alignment, trace: AlignedTrace, cut: Cut | None, idle_steps: frozenset[int]
) -> Iterator[StageDifference]:
    order = _data_order(both, trace, cut) if _passes_seen_alike(both) else None
    if order is not None:
        yield order
    for stage in ("batch_content", "rng", "loss"):
        columns = _columns(both, stage)
        if not columns:
            if stage == "rng" and _recorded(both, "rng"):  # without a draw, no state has an effect
                yield StageDifference(stage=stage, compared=len(trace), differing=0)
            continue
        found = {column: trace.differing(column) for column in columns}
        rows = np.unique(np.concatenate(list(found.values())))
        first = None
        if len(rows):
            row = int(rows[0])
            column = next(c for c, at in found.items() if row in at)
            values = trace.pair(column, row)
            first = Divergence(
                step=trace.steps[row],
                micro_batch=trace.indices[row],
                stage=stage,
                reference=_shown(values[0]),
                candidate=_shown(values[1]),
                max_ulp=ulp_distance(*values) if stage == "loss" else None,
                detail=_detail(trace, found, column, row),
            )
        differing = len(rows)
        shown = logged_loss(both, idle_steps) if stage == "loss" else None
        if shown is not None and (first is None or shown.step < first.step):
            first, differing = shown, differing + 1
        yield StageDifference(stage=stage, compared=len(trace), differing=differing, first=first)


def _shown(value: Any) -> Any:
    """A digest, or a list of digests, in hexadecimal."""
    return [shown_value(part) for part in value] if isinstance(value, list) else shown_value(value)


def _columns(both: Alignment, stage: str) -> list[str]:
    """The columns of a stage that both runs recorded."""
    wanted = {
        "batch_content": ["batch_content", "label_content", "rows"],
        "loss": ["loss", "task_loss"],
        "rng": list(_used_generators(both)),
    }.get(stage, [stage])
    if stage == "batch_content" and not _by_ids(both):
        wanted.remove("rows")  # they are the order of the data
    return [name for name in wanted if _recorded(both, name)]


def _recorded(both: Alignment, column: str) -> bool:
    """Whether both runs recorded a column of the micro-batches, in the same way."""
    if column not in ("loss", "task_loss") and not _passes_seen_alike(both):
        return False
    tables = both.reference.micro_batches, both.candidate.micro_batches
    return all(table[column].null_count < len(table) for table in tables)


def _passes_seen_alike(both: Alignment) -> bool:
    """Whether both runs were seen from the same place: from their modules, or from their graph."""
    one, two = (record.header.observed for record in (both.reference, both.candidate))
    return all((what in one) == (what in two) for what in (READ_FROM_GRAPH, OUTSIDE_OF_MODULES))


def _used_generators(both: Alignment) -> Iterator[str]:
    """The columns of the generators from which a run draws while it trains.

    A generator from which nothing is drawn has no effect, and many scripts do not seed it. The
    state of torch's generators counts if a pass draws from them, the others if they ever change.
    """
    records = both.reference, both.candidate
    if any(passes_draw(record) for record in records):
        yield "rng"
    for name in GENERATORS:
        states = [record.micro_batches[name].drop_null().unique() for record in records]
        counts = [record.spec.processes for record in records]
        if any(len(each) > count for each, count in zip(states, counts, strict=True)):
            yield name


def _by_ids(both: Alignment) -> bool:
    """Whether row numbers, which only a workload has, give the order of the data."""
    tables = both.reference.micro_batches, both.candidate.micro_batches
    return ids_comparable(both.reference, both.candidate) and any(
        table["sample_ids"].null_count < len(table) for table in tables
    )


def _detail(
    trace: AlignedTrace, found: dict[str, npt.NDArray[np.int64]], column: str, row: int
) -> str:
    """What a divergence is about, if its values do not show it."""
    if column == "label_content":
        return "the labels of the batch differ, its inputs do not"
    if column == "rows":
        return "the row numbers are equal, the content of the rows is not"
    if column == "batch_content" and "rows" in found and row in found["rows"]:
        return _content_detail(trace, row)
    if column in GENERATORS:
        return f"the state of {GENERATORS[column]}"
    if column != "loss" or "task_loss" not in found or row in found["task_loss"]:
        return ""
    return "" if None in trace.pair(column, row) else BACKWARD


def _content_detail(trace: AlignedTrace, row: int) -> str:
    """Which rows of a micro-batch hold other content, padding not counted."""
    ids, digests = trace.pair("sample_ids", row), trace.pair("rows", row)
    if None in ids or None in digests or len({len(each) for each in (*ids, *digests)}) != 1:
        return ""
    known = [
        max(ours, theirs)
        for ours, theirs, one, two in zip(*ids, *digests, strict=True)
        if one != two
    ]
    if len(known) > 4 or -1 in known:
        return f"the content of {counted(len(known), 'row')} differs"
    noun = "row" if len(known) == 1 else "rows"
    return f"the content of {noun} {', '.join(map(str, sorted(known)))} differs"


def _data_order(both: Alignment, trace: AlignedTrace, cut: Cut | None) -> StageDifference | None:
    """The rows of each micro-batch; one that only one run has, in a common step, differs.

    Row numbers are compared if both runs are of a workload, else the digests of the rows. Rows that
    a workload did not recognise have no number, so there the digests decide.
    """
    tables = both.reference.micro_batches, both.candidate.micro_batches
    column = "sample_ids" if _by_ids(both) else "rows"
    if column == "rows" and any(table["rows"].null_count == len(table) for table in tables):
        return None
    rows = trace.differing(column)
    if column == "sample_ids" and len(rows):
        rows = np.array([row for row in rows if not _unrecognised(trace, int(row))], int)
    if column == "rows" and len(rows):
        step = int(trace.steps[rows[0]])
        if same_rows_by_input(both, step) or content_differs(both, step):
            rows = rows[:0]  # a digest covers a whole row: its content differs, not the order
    places = [(int(trace.steps[row]), int(trace.indices[row])) for row in rows[:1]]  # in order
    common = int(both.steps.steps[-1]) if len(both.steps) else 0
    divided = cut.steps if cut is not None else frozenset()
    alone = [
        key
        for key in (*trace.reference_only, *trace.candidate_only)
        if key[0] <= common and key[0] not in divided
    ]
    first = None
    if places or alone:
        step, index = min(places + alone)
        found = [_rows_at(table, column, step, index) for table in tables]
        first = Divergence(
            step=step,
            micro_batch=index,
            stage="data_order",
            reference=found[0] if column == "sample_ids" else _shown(found[0]),
            candidate=found[1] if column == "sample_ids" else _shown(found[1]),
        )
    return StageDifference(
        stage="data_order", compared=len(trace), differing=len(rows) + len(alone), first=first
    )


def _unrecognised(trace: AlignedTrace, row: int) -> bool:
    """Whether the rows differ only where one run has content that the training set does not hold.

    That is a difference of the content, and not of the order.
    """
    one, two = trace.pair("sample_ids", row)
    if None in (one, two) or len(one) != len(two) or None in trace.pair("rows", row):
        return False
    return all(
        ours == theirs or -1 in (ours, theirs) for ours, theirs in zip(one, two, strict=True)
    )


def _rows_at(table: pa.Table, column: str, step: int, index: int) -> Any:
    """The rows of one micro-batch; None if there is no such micro-batch."""
    rows = (as_numpy(table["step"]) == step) & (as_numpy(table["micro_batch"]) == index)
    return next((table[column][int(row)].as_py() for row in np.flatnonzero(rows)), None)
