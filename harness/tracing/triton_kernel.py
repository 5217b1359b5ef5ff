"""The sums of `device_digest` in one pass over memory, by a Triton kernel.

One launch reads many tensors of one word size: a program takes some blocks of words of one piece,
mixes them in registers, and adds its sum to that of the tensor by one atomic addition of integers.
The sums equal those of torch's operations, bit for bit; the tests compare them in Triton's
interpreter. Importing this needs Triton, which comes with torch's builds for CUDA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from harness.tracing.words import Words

__all__ = ["add_sums"]

_BLOCK, _BLOCKS = 1024, 16
"""Words in a block, and blocks that one program reads."""


def add_sums(sums: Tensor, held: Sequence[Words]) -> None:
    """Add the terms of words of one type to the sums of their tensors, in one launch."""
    size = np.array([each.piece.size for each in held], np.int64)
    per_program = _BLOCK * _BLOCKS
    programs = -(-size // per_program)
    of_program = np.repeat(np.arange(len(held)), programs)
    number = np.arange(len(of_program)) - np.repeat(np.cumsum(programs) - programs, programs)
    facts = np.array(
        [
            (each.words.data_ptr(), each.tensor, each.piece.begin, each.piece.start,
             each.piece.run, each.piece.stride, each.piece.size)
            for each in held
        ],
        np.int64,
    )  # fmt: skip
    table = np.concatenate([facts[of_program], (number * per_program)[:, None]], axis=1)
    _sum_words[(len(table),)](
        torch.from_numpy(table).to(sums.device),
        sums,
        held[0].words.element_size(),
        any(each.piece.run < each.piece.begin + each.piece.size for each in held),
        _BLOCK,
        _BLOCKS,
    )


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types
def _sum_words(
    table: Any,
    sums: Any,
    word_bytes: tl.constexpr,
    in_runs: tl.constexpr,
    block_size: tl.constexpr,
    blocks: tl.constexpr,
) -> None:
    """Add the mixed words of one program, which is one row of the table."""
    row = table + tl.program_id(0).to(tl.int64) * 8
    address = tl.load(row)
    tensor = tl.load(row + 1)
    begin = tl.load(row + 2)
    start = tl.load(row + 3)
    run = tl.load(row + 4)
    stride = tl.load(row + 5)
    size = tl.load(row + 6)
    first = tl.load(row + 7)
    if word_bytes == 1:
        words = address.to(tl.pointer_type(tl.uint8))
    elif word_bytes == 2:
        words = address.to(tl.pointer_type(tl.int16))
    else:
        words = address.to(tl.pointer_type(tl.int32))
    total = tl.zeros([block_size], dtype=tl.uint64)
    for block in range(blocks):
        at = first + block * block_size + tl.arange(0, block_size)
        held = at < size
        word = tl.load(words + at, mask=held, other=0).to(tl.int64) & 0xFFFFFFFF
        index = begin + at
        if in_runs:
            index += index // run * (stride - run)
        key = (((index + start) << 32) | word).to(tl.uint64, bitcast=True)
        key += 0x9E3779B97F4A7C15
        key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9
        key = (key ^ (key >> 27)) * 0x94D049BB133111EB
        key = key ^ (key >> 31)
        total += tl.where(held, key, 0)
    tl.atomic_add(sums + tensor, tl.sum(total).to(tl.int64, bitcast=True))
