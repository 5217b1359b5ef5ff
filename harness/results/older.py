"""Traces of records that an older version wrote, in the columns of today.

Only their format changes. A column that the older version did not record is null: it counts as not
recorded, never as equal.
"""

from __future__ import annotations

import pyarrow as pa

from harness.results.schema import SCHEMAS

__all__ = ["READABLE_VERSIONS", "upgraded"]

READABLE_VERSIONS = (1,)
"""Older versions whose records are read."""
_RENAMED = {("micro_batches", "loss"): "task_loss"}
"""Columns of version 1 that have another name today: it recorded only the workload's own loss."""
_NEW = {
    "steps": {"rate_of"},
    "micro_batches": {"rows", "label_content", "rng_python", "rng_numpy", "loss"},
    "circumstances": {"draws", "inputs", "input_digests"},
}
"""Columns that version 1 did not have."""


def upgraded(trace: str, table: pa.Table) -> pa.Table:
    """A trace of version 1 with the columns of today, where it has the columns of version 1."""
    names = [_RENAMED.get((trace, name), name) for name in table.column_names]
    held = dict(zip(names, table.columns, strict=True))
    schema = SCHEMAS[trace]
    if set(names) != set(schema.names) - _NEW.get(trace, set()) or len(names) != len(held):
        return table  # its reader refuses it
    columns = [
        held[name] if name in held else pa.nulls(len(table), schema.field(name).type)
        for name in schema.names
    ]
    return pa.table(columns, names=schema.names)
