"""The records of processes that held shares of tensors, each with the values of whole tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from harness.results.columns import table_of
from harness.results.header import Header
from harness.results.record import SCHEMAS, RunRecord
from harness.results.shares import Key, combined, whole_digests

__all__ = ["JoinedRecord", "joined"]

_COLUMNS = ("gradient", "weight", "optimizer_state")
_STAGES = {"gradients": "gradient", "weights": "weight", "optimizer_state": "optimizer_state"}

Wholes = Mapping[Key, Mapping[str, int | None]]


class JoinedRecord(RunRecord):
    """A view of the record of one process. Nothing is written."""

    def __init__(self, record: RunRecord, tables: Mapping[str, pa.Table], header: Header) -> None:
        """`tables`: the traces that differ from those of the record."""
        self.folder, self.header = record.folder, header
        self._record, self._tables = record, tables

    def trace(self, name: str) -> pa.Table:
        """See `RunRecord.trace`."""
        return self._tables[name] if name in self._tables else self._record.trace(name)


class _Partner(NamedTuple):
    """Another process, and the tensors of which it holds a share of the same copy."""

    record: RunRecord
    tensors: frozenset[str]


def joined(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records of processes that trained together, by rank, with digests of whole tensors.

    Only the first one's norms and sketches are those of whole tensors. Records without shares are
    returned as they are. A digest is null if a process did not record its share.
    """
    if not any("shares" in record.header.traces for record in records):
        return list(records)
    traces = [record.trace("shares") for record in records]
    copies = [_copies(trace) for trace in traces]
    wholes = whole_digests(traces)
    found: list[RunRecord] = []
    for rank, record in enumerate(records):
        tables, initial = _with_digests(record, copies[rank], wholes)
        if not rank:
            partners = [
                _Partner(other, frozenset(name for name, _ in copies[0].items() & theirs.items()))
                for other, theirs in zip(records[1:], copies[1:], strict=True)
            ]
            tables |= _with_norms(JoinedRecord(record, tables, record.header), partners)
        header = record.header.model_copy(update={"initial_weights": initial})
        found.append(JoinedRecord(record, tables, header))
    return found


def _copies(shares: pa.Table) -> dict[str, int]:
    """The copy of each tensor of which a process holds a share."""
    return dict(zip(shares["tensor"].to_pylist(), shares["copy"].to_pylist(), strict=True))


def _with_digests(
    record: RunRecord, copies: Mapping[str, int], wholes: Wholes
) -> tuple[dict[str, pa.Table], str | None]:
    """The traces with digests, and that of the initial weights, of whole tensors."""
    held = record.tensors
    columns: dict[str, list[Any]] = {name: held[name].to_pylist() for name in held.column_names}
    by_step: dict[int, list[int]] = {}
    for row, (step, name) in enumerate(zip(columns["step"], columns["tensor"], strict=True)):
        by_step.setdefault(step, []).append(row)
        for column, value in wholes.get((step, name, copies.get(name, -1)), {}).items():
            columns[column][row] = value
    steps = record.steps
    for stage, column in _STAGES.items():
        values = steps[stage].to_pylist()
        for row, step in enumerate(steps["step"].to_pylist()):
            if values[row] is not None:
                values[row] = _over([columns[column][at] for at in by_step.get(step, ())])
        steps = _with_column(steps, stage, values)
    initial = record.header.initial_weights
    if initial is not None and 0 in by_step:
        over = _over([columns["weight"][at] for at in by_step[0]])
        initial = None if over is None else f"{over:016x}"
    return {"tensors": table_of(columns, SCHEMAS["tensors"]), "steps": steps}, initial


def _over(digests: Sequence[int | None]) -> int | None:
    """One digest of all tensors; None if one of them is not known."""
    known = [digest for digest in digests if digest is not None]
    return combined(known) if len(known) == len(digests) else None


def _with_norms(record: RunRecord, partners: Sequence[_Partner]) -> dict[str, pa.Table]:
    """The traces with norms or sketches, of whole tensors."""
    norms = record.norms
    for column in ("weight", "gradient", "applied"):
        norms = _added(norms, column, partners, "norms", lambda one, two: float(np.hypot(one, two)))
    found = {"norms": norms}
    if "sketches" in record.header.traces:
        found["sketches"] = _added(
            record.trace("sketches"),
            "sketch",
            partners,
            "sketches",
            lambda one, two: np.add(one, two).tolist(),
        )
    squares: dict[int, float] = {}
    for step, norm in zip(norms["step"].to_pylist(), norms["gradient"].to_pylist(), strict=True):
        squares[step] = squares.get(step, 0.0) + (norm or 0.0) ** 2
    steps = record.steps
    rows = zip(
        *(steps[name].to_pylist() for name in ("step", "grad_norm", "gradients")), strict=True
    )
    total = [  # not known either where a process left no share
        None if None in (held, digest) else float(np.sqrt(squares.get(at, 0.0)))
        for at, held, digest in rows
    ]
    return found | {"steps": _with_column(steps, "grad_norm", total)}


def _added(
    table: pa.Table,
    column: str,
    partners: Sequence[_Partner],
    trace: str,
    add: Callable[[Any, Any], Any],
) -> pa.Table:
    """The table with a column to which the values of other shares are added."""
    values = table[column].to_pylist()
    keys = zip(table["step"].to_pylist(), table["tensor"].to_pylist(), strict=True)
    rows = {key: row for row, key in enumerate(keys)}
    for partner in partners:
        theirs = partner.record.trace(trace)
        columns = (theirs[name].to_pylist() for name in ("step", "tensor", column))
        for step, name, value in zip(*columns, strict=True):
            row = rows.get((step, name))
            if name in partner.tensors and row is not None and None not in (value, values[row]):
                values[row] = add(values[row], value)
    return _with_column(table, column, values)


def _with_column(table: pa.Table, name: str, values: Sequence[Any]) -> pa.Table:
    """The table with other values in one column."""
    field = table.schema.field(name)
    new = table_of({name: values}, pa.schema([field]))
    return table.set_column(table.column_names.index(name), field, new[name])
