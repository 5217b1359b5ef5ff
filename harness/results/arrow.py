"""A column of a trace as a NumPy array.

`ChunkedArray.to_numpy` imports pandas, which takes longer than comparing two records does; DLPack
hands the same memory over without it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["as_numpy", "filled"]


def as_numpy(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """The values of a column of numbers. With nulls: as `to_numpy` gives them, NaN for each."""
    if column.null_count or pa.types.is_boolean(column.type) or not len(column):
        values: npt.NDArray[Any] = column.to_numpy()
        return values
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)])


def filled(column: pa.ChunkedArray, value: float) -> pa.ChunkedArray:
    """The column with `value` for each null; a scalar of arrow's, for else it looks for pandas."""
    if not column.null_count:
        return column
    return pc.fill_null(column, pa.scalar(value, column.type))
