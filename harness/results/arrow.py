"""Columns of a trace as NumPy arrays, without importing pandas.

`ChunkedArray.to_numpy` imports pandas, which takes longer than comparing two records. DLPack shares
the same memory without it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["as_numpy", "filled", "int32"]


def as_numpy(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """The values of a column of numbers; each null becomes NaN."""
    if column.null_count or pa.types.is_boolean(column.type) or not len(column):
        values: npt.NDArray[Any] = column.to_numpy()
        return values
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)])


def filled(column: pa.ChunkedArray, value: float) -> pa.ChunkedArray:
    """The column with `value` for each null."""
    if not column.null_count:
        return column
    # A Python scalar would make pyarrow import pandas.
    return pc.fill_null(column, pa.scalar(value, column.type))


def int32(value: int) -> pa.Int32Scalar:
    """A number to compare a column of steps with; `pyarrow.scalar` imports pandas."""
    return pa.Array.from_buffers(pa.int32(), 1, [None, pa.py_buffer(np.int32(value).tobytes())])[0]
