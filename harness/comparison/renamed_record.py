"""A record whose tensors have the names of another record's model, as everything else reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from harness.comparison.names import NameMatch
from harness.results.record import RunRecord

__all__ = ["RenamedRecord", "with_names"]

_CACHED = ("steps", "micro_batches", "tensors", "circumstances", "norms", "logged", "dissent")


class RenamedRecord(RunRecord):
    """A view of a record with other names of tensors. Nothing is written."""

    def __init__(self, record: RunRecord, names: Mapping[str, str]) -> None:
        """`names`: the new name of each tensor that gets one."""
        self.folder = record.folder
        self._record, self._names = record, dict(names)
        header = record.header
        self.header = header.model_copy(
            update={
                "parameter_names": tuple(self._name(name) for name in header.parameter_names),
                "settings": self._renamed(header.settings),
            }
        )

    def trace(self, name: str) -> pa.Table:
        """The trace of the record, with the new names."""
        held: pa.Table = (
            getattr(self._record, name) if name in _CACHED else self._record.trace(name)
        )
        if "tensor" not in held.column_names or not len(held):
            return held
        place = held.column_names.index("tensor")
        column = held["tensor"]
        if not pa.types.is_dictionary(column.type):
            new = pa.array([self._name(value) for value in column.to_pylist()], pa.string())
            return held.set_column(place, "tensor", new)
        chunks = [
            pa.DictionaryArray.from_arrays(
                chunk.indices,
                pa.array([self._name(value) for value in chunk.dictionary.to_pylist()]),
            )
            for chunk in column.chunks
        ]
        return held.set_column(place, "tensor", pa.chunked_array(chunks, column.type))

    def _name(self, name: Any) -> Any:
        return self._names.get(name, name) if isinstance(name, str) else name

    def _renamed(self, value: Any) -> Any:
        """A setting in which each name of a tensor is replaced."""
        if isinstance(value, dict):
            return {self._name(key): self._renamed(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._name(self._renamed(part)) for part in value]
        return value


def with_names(record: RunRecord, match: NameMatch) -> RunRecord:
    """The candidate's record with the names of the reference; the record itself if they are equal.

    A tensor without a counterpart keeps its name, unless another tensor gets that name.
    """
    if not match.translates:
        return record
    taken = {*match.pairs.values(), *match.reference_only}
    others = {
        name: f"{name} (candidate)" if name in taken else name for name in match.candidate_only
    }
    return RenamedRecord(record, {**match.pairs, **others})
