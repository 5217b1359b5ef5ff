"""Compares updates as a whole if the two runs divide them into micro-batches differently.

A batch of 8 rows and two of 4 rows are one update: the same rows, and the same sum of the scalars
on which `backward` was called, whose gradient is that of the update. So the rows of an update are
compared as a multiset, and its loss as that sum (with several processes its mean over them). The
content of batches and their random numbers differ by design, and so does rounding.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.comparison.alignment import Alignment
from harness.results.divergence import Divergence, StageDifference, ulp_distance
from harness.results.record import RunRecord
from harness.spec.case import RunSpec
from harness.units import digest

__all__ = ["Cut", "Update", "cut_of", "ids_comparable", "update_stages", "updates_of"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Update:
    """The micro-batches of one step of a run, of all its processes."""

    rows: tuple[Row, ...]
    processes: int

    @cached_property
    def sizes(self) -> tuple[int | None, ...]:
        """The number of rows of each micro-batch; None where the batch has none."""
        lists = [
            row["rows"] if row["sample_ids"] is None else row["sample_ids"] for row in self.rows
        ]
        return tuple(None if rows is None else len(rows) for rows in lists)

    @property
    def count(self) -> int | None:
        """The number of rows; None if a micro-batch has no rows."""
        sizes = [size for size in self.sizes if size is not None]
        return sum(sizes) if len(sizes) == len(self.sizes) else None

    def listed(self, column: str) -> list[Any] | None:
        """All row numbers or row digests in ascending order; None if some are not recorded."""
        lists = [row[column] for row in self.rows]
        if any(rows is None for rows in lists):
            return None
        return sorted(itertools.chain(*lists))

    @property
    def loss(self) -> float | None:
        """The loss whose gradient is that of the update."""
        losses = [row["loss"] for row in self.rows]
        return None if None in losses else _sum(losses) / self.processes

    @property
    def task_loss(self) -> float | None:
        """The workload's own loss: the mean over the rows."""
        losses = [row["task_loss"] for row in self.rows]
        if None in losses:
            return None
        weights = [1 if size is None else size for size in self.sizes]
        total = sum(weights)
        return (
            _sum([w * x for w, x in zip(weights, losses, strict=True)]) / total
            if total
            else math.nan
        )

    @property
    def words(self) -> str:
        """How the update is divided: '8 rows', '2 x 4 rows', '4 + 3 rows'."""
        known = [size for size in self.sizes if size is not None]
        if len(known) < len(self.sizes):
            return f"{len(self.sizes)} micro-batch" + ("es" if len(self.sizes) != 1 else "")
        parts = [
            str(size) if times == 1 else f"{times} x {size}"
            for size, times in Counter(known).items()
        ]
        shown = parts if len(parts) <= 4 else [f"{len(known)} micro-batches of {sum(known)}"]
        return " + ".join(shown) + (" row" if known == [1] else " rows")


def _sum(values: Sequence[float]) -> float:
    """The exact sum; NaN or infinity where one of the values is not finite."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # too large, or infinities of both signs
        return float(sum(values))


def updates_of(record: RunRecord, steps: set[int] | None = None) -> dict[int, Update]:
    """The updates of a run by step; only some of them with `steps`."""
    table = record.micro_batches
    names = ("step", "micro_batch", "sample_ids", "rows", "loss", "task_loss")
    columns = [table[name].to_pylist() for name in names]
    found: dict[int, list[Row]] = {}
    for values in zip(*columns, strict=True):
        if steps is None or values[0] in steps:
            found.setdefault(values[0], []).append(dict(zip(names, values, strict=True)))
    return {step: Update(tuple(rows), record.spec.processes) for step, rows in found.items()}


def ids_comparable(reference: RunRecord, candidate: RunRecord) -> bool:
    """Whether row numbers mean the same rows in both: two runs of one workload."""
    return all(isinstance(record.spec, RunSpec) for record in (reference, candidate))


@dataclass(frozen=True)
class Cut:
    """The steps whose updates the two runs divide differently, and these updates."""

    steps: frozenset[int]
    reference: dict[int, Update]
    candidate: dict[int, Update]
    every_step: bool
    """Whether these are all common steps."""
    processes: tuple[int, int]

    @property
    def sentence(self) -> str:
        """What differs by design."""
        first = min(self.steps)
        one, two = self.reference[first], self.candidate[first]
        if self.processes[0] != self.processes[1]:
            counts = f"{self.processes[0]} and {self.processes[1]}"
            return (
                f"the two have other numbers of processes ({counts}), so whole updates are "
                "compared; their rounding, and dropout if there is any, differ by design"
            )
        where = "" if self.every_step else f" at {_steps(sorted(self.steps))}"
        return (
            f"the two divide an update into micro-batches differently{where} (reference "
            f"{one.words}, candidate {two.words}), so whole updates are compared; their rounding, "
            "and dropout if there is any, differ by design"
        )


def _steps(steps: Sequence[int]) -> str:
    return f"step {steps[0]}" if len(steps) == 1 else f"{len(steps)} steps, first step {steps[0]}"


def cut_of(both: Alignment) -> Cut | None:
    """The steps whose updates are divided differently but hold as many rows; None: there are none.

    If no row is recorded, another number of micro-batches in every step is another division. With
    other numbers of processes every step is.
    """
    runs = both.reference, both.candidate
    processes = runs[0].spec.processes, runs[1].spec.processes
    if processes[0] == processes[1] and both.equally_divided:
        return None
    left, right = (updates_of(run) for run in runs)
    common = left.keys() & right.keys()
    if processes[0] != processes[1]:
        steps = common
    else:
        other = {step for step in common if left[step].sizes != right[step].sizes}
        steps = {
            step
            for step in other
            if None not in (left[step].count, right[step].count)
            and left[step].count == right[step].count
        }
        unknown = all(None in (left[s].count, right[s].count) for s in common)
        if unknown and all(len(left[s].rows) != len(right[s].rows) for s in common):
            steps = common
    if not steps:
        return None
    return Cut(frozenset(steps), left, right, steps == common, processes)


def update_stages(both: Alignment, cut: Cut) -> Iterator[StageDifference]:
    """Compare the rows and the losses of the updates that are divided differently."""
    steps = sorted(cut.steps)
    pairs = [(step, cut.reference[step], cut.candidate[step]) for step in steps]
    yield from _order(both, pairs)
    yield from _loss(pairs)


def _order(
    both: Alignment, pairs: Sequence[tuple[int, Update, Update]]
) -> Iterator[StageDifference]:
    columns = ["sample_ids", "rows"] if ids_comparable(both.reference, both.candidate) else ["rows"]
    compared, differing, first = 0, 0, None
    for step, one, two in pairs:
        lists = next(
            (
                (left, right, column)
                for column in columns
                for left, right in [(one.listed(column), two.listed(column))]
                if left is not None
                and right is not None
                and not (column == "sample_ids" and -1 in (*left[:1], *right[:1]))
            ),
            None,
        )
        if lists is None:
            continue
        compared += 1
        if lists[0] != lists[1]:
            differing += 1
            shown = [
                [digest(n) for n in rows] if lists[2] == "rows" else rows for rows in lists[:2]
            ]
            first = first or Divergence(
                step=step, stage="data_order", reference=shown[0], candidate=shown[1]
            )
    if compared:
        yield StageDifference(
            stage="data_order", compared=compared, differing=differing, first=first
        )


def _loss(pairs: Sequence[tuple[int, Update, Update]]) -> Iterator[StageDifference]:
    compared, differing, first = 0, 0, None
    for step, one, two in pairs:
        values = [
            (left, right)
            for left, right in ((one.loss, two.loss), (one.task_loss, two.task_loss))
            if left is not None and right is not None
        ]
        compared += bool(values)
        others = [pair for pair in values if repr(pair[0]) != repr(pair[1])]
        if others:
            differing += 1
            left, right = others[0]
            first = first or Divergence(
                step=step,
                stage="loss",
                reference=left,
                candidate=right,
                max_ulp=ulp_distance(left, right),
            )
    if compared:
        yield StageDifference(stage="loss", compared=compared, differing=differing, first=first)
