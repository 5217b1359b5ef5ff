"""Tells another content of the same rows from another order of rows, where rows have no numbers.

A digest of a row shows only that its content differs. There are two ways to know more:

- Rows that are alike have a similar likeness (see `harness.tracing.rows`). If each row of a batch
  is most like the row at its own place in the other run's batch, the two read the same rows in the
  same order, and only their content differs.
- A run that reads its rows again and again has read all rows of its set. If the other run reads
  none of them, that is no other order of these rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow.compute as pc

from harness.comparison.alignment import Alignment
from harness.comparison.circumstances import next_inputs
from harness.results.arrow import as_numpy, int32
from harness.results.record import RunRecord

__all__ = ["content_differs"]

_LOOKED_AT = 16
"""Micro-batches that are compared."""
_AGAIN = 0.9
"""Share of its rows that a run reads more than once if it has read all rows of its set."""
_SHARE, _DEVIATIONS = 0.8, 5.0
"""Least share of rows that must correspond; how many standard deviations more than by chance."""


def content_differs(both: Alignment, step: int) -> str:
    """How the rows from `step` on differ, if by their content; empty if that is not known."""
    if _rows_correspond(both, step):
        return "the rows are in the same order, their content differs"
    for side, whole, other in (
        ("candidate", both.reference, both.candidate),
        ("reference", both.candidate, both.reference),
    ):
        rows = _rows_read_again(whole)
        if len(rows) and not np.isin(_rows(other, step), rows).any():
            owner = "reference" if side == "candidate" else "candidate"
            return (
                f"no row of the {side} is one of the {len(rows)} rows that the {owner} reads "
                "repeatedly"
            )
    return ""


def _rows_read_again(record: RunRecord) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The rows of a run that reads almost every one of them more than once; else none."""
    rows: np.ndarray[Any, np.dtype[np.uint64]]
    rows, counts = np.unique(_rows(record, 0), return_counts=True)
    return rows if np.count_nonzero(counts > 1) >= _AGAIN * len(rows) else rows[:0]


def _rows(record: RunRecord, step: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The digests of all rows that a run reads from `step` on."""
    table = record.micro_batches
    lists = table["rows"].filter(pc.greater_equal(table["step"], int32(step)))
    rows: np.ndarray[Any, np.dtype[np.uint64]] = as_numpy(pc.list_flatten(lists))
    return rows


def _rows_correspond(both: Alignment, step: int) -> bool:
    """Whether the rows that differ from `step` on are those at the same place, with other content.

    Only rows whose digests differ count. Other rows would correspond by chance once in each batch.
    """
    one, two = (next_inputs(record, step) for record in (both.reference, both.candidate))
    trace = both.micro_batches
    begin = int(np.searchsorted(trace.steps, step))
    rows, hits, by_chance, variance = 0, 0, 0.0, 0.0
    for row in range(begin, min(begin + _LOOKED_AT, len(trace))):
        place = int(trace.steps[row]), int(trace.indices[row])
        bits = [_likeness(inputs.get(place, {})) for inputs in (one, two)]
        digests = trace.pair("rows", row)
        if None in digests or len(bits[0]) != len(bits[1]) or len(digests[0]) != len(digests[1]):
            return False
        count = min(len(bits[0]), len(digests[0]))
        different = [n for n in range(count) if digests[0][n] != digests[1][n]]
        if not different:
            continue
        distances = _distances(bits[0][:count], bits[1][:count])
        own = np.diagonal(distances).copy()
        np.fill_diagonal(distances, 65)
        nearest = own < np.minimum(distances.min(axis=0), distances.min(axis=1))
        hits += int(np.count_nonzero(nearest[different]))
        rows += len(different)
        by_chance += len(different) / count
        variance += len(different) / count * (1 - 1 / count)
    return hits >= _SHARE * max(1, rows) and hits - by_chance > _DEVIATIONS * math.sqrt(variance)


def _likeness(inputs: dict[str, Any]) -> list[int]:
    """The likeness of each row, in their order."""
    return [value for name, value in inputs.items() if name.startswith("likeness[")]


def _distances(one: list[int], two: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The number of bits that differ between each row of one and each of the other."""
    left, right = (
        np.unpackbits(np.array(each, np.uint64).view(np.uint8).reshape(-1, 8), axis=1)
        for each in (one, two)
    )
    differing: np.ndarray[Any, np.dtype[np.int64]] = (left[:, None] != right[None, :]).sum(axis=2)
    return differing
