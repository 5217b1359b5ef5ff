"""Python lists as columns of a trace.

Not `pyarrow.array`: it imports pandas wherever that is installed, also into the program of a traced
command. A column is built from the buffers of Arrow's format instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["table_of"]


def table_of(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """A table of lists of equal length; None is a missing value."""
    return pa.Table.from_arrays([column(columns[f.name], f.type) for f in schema], schema=schema)


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """One column: numbers, truth values, texts, names from a dictionary, or lists of these."""
    if pa.types.is_dictionary(kind):
        known = (value for value in dict.fromkeys(values) if value is not None)
        names = {name: place for place, name in enumerate(known)}
        places = column([names.get(value) for value in values], kind.index_type)
        return pa.DictionaryArray.from_arrays(places, column(list(names), kind.value_type))
    present = np.fromiter((value is not None for value in values), bool, len(values))
    missing = len(values) - int(present.sum())
    validity = pa.py_buffer(np.packbits(present, bitorder="little")) if missing else None
    if pa.types.is_list(kind):
        parts = [() if value is None else value for value in values]
        inner = column([each for part in parts for each in part], kind.value_type)
        buffers = [validity, _offsets([len(part) for part in parts])]
        return pa.Array.from_buffers(kind, len(values), buffers, missing, children=[inner])
    if pa.types.is_string(kind):
        texts = [b"" if value is None else str(value).encode() for value in values]
        buffers = [validity, _offsets([len(text) for text in texts]), pa.py_buffer(b"".join(texts))]
        return pa.Array.from_buffers(kind, len(values), buffers, missing)
    plain = [0 if value is None else value for value in values] if missing else values
    data = np.array(plain, kind.to_pandas_dtype())
    if pa.types.is_boolean(kind):
        data = np.packbits(data, bitorder="little")
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(data)], missing)


def _offsets(lengths: Sequence[int]) -> pa.Buffer:
    return pa.py_buffer(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
