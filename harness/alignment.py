"""Lines up one trace of two runs on the rows that both have, without judging what stands there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.record import RunRecord

__all__ = ["AlignedTrace", "Alignment", "Bits", "Keys"]

Bits = npt.NDArray[np.uint64]
Keys = npt.NDArray[np.int64]
_PART_BITS = 24  # a row's key: its step, then its place within the step


@dataclass(frozen=True)
class AlignedTrace:
    """The rows that both sides have, in order, and the keys (step, part) that only one has."""

    reference: pa.Table
    candidate: pa.Table
    steps: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int64]
    reference_only: list[tuple[int, int]]
    candidate_only: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.steps)

    def bits(self, column: str) -> tuple[Bits, Bits]:
        """A column of numbers on both sides as raw 64-bit patterns."""
        return _bits(self.reference[column]), _bits(self.candidate[column])

    def values(self, column: str) -> tuple[list[Any], list[Any]]:
        """A column on both sides as Python values."""
        return self.reference[column].to_pylist(), self.candidate[column].to_pylist()


@dataclass(frozen=True)
class Alignment:
    """The traces of two runs, each aligned when first asked for."""

    reference: RunRecord
    candidate: RunRecord

    @cached_property
    def steps(self) -> AlignedTrace:
        """One row a step; the part is always 0."""
        return _align(*((table, _keys(table)) for table in self._tables("steps")))

    @cached_property
    def micro_batches(self) -> AlignedTrace:
        """One row a micro-batch; the part is its number within the step."""
        return _align(
            *(
                (table, _keys(table, table["micro_batch"]))
                for table in self._tables("micro_batches")
            )
        )

    @cached_property
    def tensors(self) -> AlignedTrace:
        """One row a parameter and step; the part is the parameter's place in the model."""
        left, right = self._tables("tensors")
        names = (
            pa.chunked_array(
                [
                    *left["tensor"].unify_dictionaries().cast(pa.string()).chunks,
                    *right["tensor"].unify_dictionaries().cast(pa.string()).chunks,
                ],
                type=pa.string(),
            )
            .combine_chunks()
            .dictionary_encode()
        )
        numbers = pa.chunked_array([names.indices])
        return _align(
            (left, _keys(left, numbers.slice(0, len(left)))),
            (right, _keys(right, numbers.slice(len(left)))),
        )

    def _tables(self, name: str) -> tuple[pa.Table, pa.Table]:
        left: pa.Table = getattr(self.reference, name)
        right: pa.Table = getattr(self.candidate, name)
        return left, right


def _bits(column: pa.ChunkedArray) -> Bits:
    values: npt.NDArray[Any] = column.to_numpy()
    return values if values.dtype == np.uint64 else values.astype(np.float64).view(np.uint64)


def _keys(table: pa.Table, part: pa.ChunkedArray | None = None) -> Keys:
    keys: Keys = table["step"].to_numpy().astype(np.int64) << _PART_BITS
    return keys if part is None else keys + part.to_numpy().astype(np.int64)


def _align(left: tuple[pa.Table, Keys], right: tuple[pa.Table, Keys]) -> AlignedTrace:
    reference, candidate = left[0], right[0]
    keys = left[1]
    only: tuple[Keys, Keys] = (keys[:0], keys[:0])
    if not np.array_equal(left[1], right[1]):
        keys, rows_left, rows_right = np.intersect1d(left[1], right[1], return_indices=True)
        reference, candidate = reference.take(rows_left), candidate.take(rows_right)
        only = np.setdiff1d(left[1], right[1]), np.setdiff1d(right[1], left[1])
    mask = (1 << _PART_BITS) - 1
    unpacked = [[(int(key) >> _PART_BITS, int(key) & mask) for key in side] for side in only]
    return AlignedTrace(reference, candidate, keys >> _PART_BITS, keys & mask, *unpacked)
