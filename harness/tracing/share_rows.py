"""Writes the trace `shares`: the sums of the shares of tensors that this process holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch.distributed

from harness.results.record import RecordWriter
from harness.tracing.digest import PartSum
from harness.tracing.layouts import Share

__all__ = ["ShareRows"]


class ShareRows:
    """Keeps the sums of one step until it is written."""

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer
        self._held: dict[str, dict[str, PartSum]] = {}

    def take(self, tensor: str, sums: Iterable[PartSum]) -> None:
        """The sums of parts of a tensor, instead of earlier ones of the same parts."""
        for each in sums:
            self._held.setdefault(tensor, {})[each.part] = each

    def write(self, step: int) -> None:
        """Write the rows of a step, and forget them."""
        held, self._held = self._held, {}
        columns: dict[str, list[Any]] = {}
        for tensor, parts in held.items():
            copies = [each.share.copy for each in parts.values() if each.share is not None]
            for each in parts.values() if copies else ():
                row = {
                    "tensor": tensor,
                    "part": each.part,
                    "sum": each.sum,
                    "text": each.text,
                    "copy": copies[0],
                    "holders": 1 if each.share is None else each.share.holders,
                    "offset": 0 if each.share is None else _first_element(each.share),
                }
                for name, value in row.items():
                    columns.setdefault(name, []).append(value)
        if columns:
            rank = torch.distributed.get_rank()
            count = len(columns["tensor"])
            self._writer.add_rows("shares", count, step=step, rank=rank, **columns)


def _first_element(share: Share) -> int:
    """The index of the share's first element in the whole tensor."""
    shape: Sequence[int] = share.place.shape
    strides = (math.prod(shape[dim + 1 :]) for dim in range(len(shape)))
    return sum(at * stride for at, stride in zip(share.place.offset, strides, strict=True))
