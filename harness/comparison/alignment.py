"""Aligns a trace of two runs on the rows that both have. It does not interpret the values.

Tensors are aligned by name. A tensor that only one run has is left out of the aligned trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.comparison.names import named_tensors
from harness.results.arrow import as_numpy
from harness.results.record import OUTSIDE_OF_MODULES, READ_FROM_GRAPH, RunRecord

__all__ = ["AlignedTrace", "Alignment"]

Keys = npt.NDArray[np.int64]
_INDEX_BITS = 24  # a row's key: its step, then its index within the step


@dataclass(frozen=True)
class AlignedTrace:
    """The rows that both runs have, in order, and the keys (step, index) that only one has."""

    reference: pa.Table
    candidate: pa.Table
    steps: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    reference_only: list[tuple[int, int]]
    candidate_only: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.steps)

    def differing(self, column: str) -> npt.NDArray[np.int64]:
        """Rows in which the bits of a column differ; a null differs from every value."""
        one, two = self.reference[column], self.candidate[column]
        if not pa.types.is_list(one.type):
            return np.flatnonzero(_unequal(one, two))
        sizes = [as_numpy(pc.list_value_length(column_of)) for column_of in (one, two)]
        if not np.array_equal(sizes[0], sizes[1]):
            pairs = zip(map(repr, one.to_pylist()), map(repr, two.to_pylist()), strict=True)
            return np.flatnonzero([a != b for a, b in pairs])
        owner = np.repeat(np.arange(len(one)), sizes[0])
        return np.unique(owner[_unequal(pc.list_flatten(one), pc.list_flatten(two))])

    def without(self, rows: npt.NDArray[np.bool_]) -> AlignedTrace:
        """The trace without some rows."""
        kept = ~rows
        mask = pa.array(kept)
        return AlignedTrace(
            self.reference.filter(mask),
            self.candidate.filter(mask),
            self.steps[kept],
            self.indices[kept],
            self.reference_only,
            self.candidate_only,
        )

    def pair(self, column: str, row: int) -> tuple[Any, Any]:
        """The two values of a column in one row, as Python values; None for a null."""
        return self.reference[column][row].as_py(), self.candidate[column][row].as_py()


@dataclass(frozen=True)
class Alignment:
    """The traces of two runs, each aligned at its first use."""

    reference: RunRecord
    candidate: RunRecord

    @cached_property
    def steps(self) -> AlignedTrace:
        """One row per step; the index is always 0."""
        return _align(*((table, _keys(table)) for table in self._tables("steps")))

    @cached_property
    def micro_batches(self) -> AlignedTrace:
        """One row per micro-batch; the index is its number within the step."""
        return _align(
            *(
                (table, _keys(table, table["micro_batch"]))
                for table in self._tables("micro_batches")
            )
        )

    @cached_property
    def equally_divided(self) -> bool:
        """Whether every common micro-batch has as many rows, and none is only in one run."""
        trace = self.micro_batches
        if trace.reference_only or trace.candidate_only:
            return False
        return all(
            pc.list_value_length(trace.reference[name]).equals(
                pc.list_value_length(trace.candidate[name])
            )
            for name in ("sample_ids", "rows")
        )

    @cached_property
    def tensors(self) -> AlignedTrace:
        """One row per parameter and step; the index is the parameter's position in the model."""
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

    @cached_property
    def names(self) -> tuple[list[str], list[str]]:
        """The tensors of each run in the order of its model."""
        one, two = (list(named_tensors(run)) for run in (self.reference, self.candidate))
        return one, two

    @cached_property
    def only_in_one(self) -> tuple[list[str], list[str]]:
        """The tensors that only the reference has, and those that only the candidate has."""
        one, two = self.names
        left, right = set(one), set(two)
        return [name for name in one if name not in right], [
            name for name in two if name not in left
        ]

    @cached_property
    def out_of_sight(self) -> frozenset[str]:
        """Frozen tensors of one run that the other may have, though its record cannot show them.

        Where modules do not own all parameters, only the tensors that get gradients are known.
        """
        found: set[str] = set()
        pairs = (self.reference, self.candidate), (self.candidate, self.reference)
        for alone, (owner, other) in zip(self.only_in_one, pairs, strict=True):
            if {READ_FROM_GRAPH, OUTSIDE_OF_MODULES} & set(other.header.observed):
                found |= set(alone) & set(owner.header.settings.get("weights.frozen") or ())
        return frozenset(found)

    @property
    def same_model(self) -> bool:
        """Whether both runs have the same tensors in the same order, so that digests of all of
        them can be compared."""
        return self.names[0] == self.names[1]

    def recorded(self, column: str) -> npt.NDArray[np.bool_]:
        """For each common step, whether the records hold the column of `steps` there.

        A command recorded with `--every N` leaves out the other steps on purpose. If processes held
        shares and one of them left none, the value is not known.
        """
        trace = self.steps
        held = np.ones(len(trace), bool)
        for record, table in ((self.reference, trace.reference), (self.candidate, trace.candidate)):
            due = (trace.steps == 1) | (trace.steps % max(1, record.header.tensors_every) == 0)
            known = ~pc.is_null(table[column]).to_numpy()
            held &= known if record.header.in_shares else due | known
        return held

    @cached_property
    def unmatched_tensors(self) -> list[tuple[str, int]]:
        """Name and step of each row that only one tensor trace has, at steps that both hold.

        A trace may hold only some steps; the other steps are not compared. Tensors that one run
        does not have at all are left out: they are `only_in_one`.
        """
        trace, found = self.tensors, []
        alone = {*self.only_in_one[0], *self.only_in_one[1]}
        if not (trace.reference_only or trace.candidate_only):
            return []
        left, right = self._tables("tensors")
        common = set(left["step"].to_pylist()) & set(right["step"].to_pylist())
        for table, keys in ((left, trace.reference_only), (right, trace.candidate_only)):
            only = {step for step, _ in keys if step in common}
            both = set(
                zip(trace.steps.tolist(), trace.reference["tensor"].to_pylist(), strict=True)
            )
            rows = zip(table["step"].to_pylist(), table["tensor"].to_pylist(), strict=True)
            found += [
                (name, step)
                for step, name in rows
                if step in only and (step, name) not in both and name not in alone
            ]
        return found

    def _tables(self, name: str) -> tuple[pa.Table, pa.Table]:
        left: pa.Table = getattr(self.reference, name)
        right: pa.Table = getattr(self.candidate, name)
        return left, right


def _unequal(one: pa.ChunkedArray, two: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where two columns of numbers differ in a bit, or only one of them has a value."""
    different: npt.NDArray[np.bool_] = _bits(one) != _bits(two)
    if one.null_count or two.null_count:
        different |= pc.is_null(one).to_numpy() != pc.is_null(two).to_numpy()
    return different


def _bits(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Numbers as integers of the same width; a null becomes zero."""
    values: npt.NDArray[Any] = as_numpy(pc.fill_null(column, 0) if column.null_count else column)
    return values.view(np.uint64) if values.dtype == np.float64 else values


def _keys(table: pa.Table, index: pa.ChunkedArray | None = None) -> Keys:
    keys: Keys = as_numpy(table["step"]).astype(np.int64) << _INDEX_BITS
    return keys if index is None else keys + as_numpy(index).astype(np.int64)


def _align(left: tuple[pa.Table, Keys], right: tuple[pa.Table, Keys]) -> AlignedTrace:
    reference, candidate = left[0], right[0]
    keys = left[1]
    only: tuple[Keys, Keys] = (keys[:0], keys[:0])
    if not np.array_equal(left[1], right[1]):
        keys, rows_left, rows_right = np.intersect1d(left[1], right[1], return_indices=True)
        reference, candidate = reference.take(rows_left), candidate.take(rows_right)
        only = np.setdiff1d(left[1], right[1]), np.setdiff1d(right[1], left[1])
    mask = (1 << _INDEX_BITS) - 1
    unpacked = [[(int(key) >> _INDEX_BITS, int(key) & mask) for key in keys_of] for keys_of in only]
    return AlignedTrace(reference, candidate, keys >> _INDEX_BITS, keys & mask, *unpacked)
