"""Sums of mixed words: 64 bits of each tensor, computed where the tensors live, in few launches.

A tensor's memory is read as words x[0], x[1], ... of up to 32 bits, shorter signed ones widened to
32. Its sum is

    sum over i of mix(i * 2**32 + x[i])  modulo 2**64

where `mix` is one draw of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) from that state, which
maps 64-bit numbers one to one. Integer sums are the same in whatever order a device adds them up,
so every device gives the same number, and gives it again.

- A change of a single word is always seen: one term changes, and `mix` gives two words two values.
- Several changes, or words that changed places, are missed where their terms happen to cancel:
  once in 2**64 pairs of tensors, as far as `mix` behaves like chance. A run of 1377 steps with
  200 tensors in three stages compares 2**19.7 pairs, so a difference that is missed in any of
  them has a probability below 2**-44. A forger can make terms cancel; accidents do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

__all__ = ["word_sums"]

_AT_ONCE = 1 << 24  # words in one launch: 128 MiB for each of three buffers of 64-bit integers
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int32, 16: torch.int32}
_MASK = 2**64 - 1


def word_sums(tensors: Sequence[Tensor]) -> list[int]:
    """The sum of each tensor's words in row-major order, in [0, 2**64).

    Shape and dtype do not enter. All tensors are on one device; one copy of 8 bytes a tensor brings
    the sums to the host at the end.
    """
    if not tensors:
        return []
    sums = torch.zeros(len(tensors), dtype=torch.int64, device=tensors[0].device)
    with torch.no_grad():
        for kind in dict.fromkeys(_WORDS[tensor.element_size()] for tensor in tensors):
            for group in _groups(tensors, kind):
                _add(sums, group)
    return [number & _MASK for number in sums.tolist()]


def _groups(
    tensors: Sequence[Tensor], kind: torch.dtype
) -> Iterator[list[tuple[int, int, Tensor]]]:
    """Pieces of at most `_AT_ONCE` words together: number of the tensor, place in it, words."""
    group: list[tuple[int, int, Tensor]] = []
    room = _AT_ONCE
    for number, tensor in enumerate(tensors):
        if _WORDS[tensor.element_size()] != kind:
            continue
        words = tensor.detach().contiguous().view(-1).view(kind)
        start = 0
        while start < len(words):
            piece = words[start : start + room]
            group.append((number, start, piece))
            start += len(piece)
            room -= len(piece)
            if not room:
                yield group
                group, room = [], _AT_ONCE
    if group:
        yield group


def _add(sums: Tensor, group: Sequence[tuple[int, int, Tensor]]) -> None:
    """Add what the words of a group give to the sums of their tensors: some thirty launches."""
    device = sums.device
    counts = [len(words) for _, _, words in group]
    total = sum(counts)
    facts = torch.tensor(
        [(number, start, count) for (number, start, _), count in zip(group, counts, strict=True)]
    ).to(device)
    numbers, starts, lengths = facts.unbind(1)
    ends = lengths.cumsum(0)
    # The place of each word in its tensor, in the upper half of its key.
    keys = torch.arange(total, device=device)
    keys += torch.repeat_interleave(starts - ends + lengths, lengths, output_size=total)
    keys <<= 32
    words = torch.cat([words for _, _, words in group]).to(torch.int64)
    words &= 0xFFFFFFFF
    keys |= words
    _mix(keys, words)
    # Differences of running sums at the ends of the pieces: also that is exact modulo 2**64.
    running = torch.cumsum(keys, 0, out=words)[ends - 1]
    running[1:] -= running[:-1].clone()
    sums.index_add_(0, numbers, running)


def _mix(keys: Tensor, scratch: Tensor) -> None:
    """One draw of SplitMix64 from each key, in place. A shift to the right brings in copies of the
    sign, which the mask takes away."""
    keys += 0x9E3779B97F4A7C15 - 2**64  # the same bits as a signed number
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, None)):
        torch.bitwise_right_shift(keys, shift, out=scratch)
        scratch &= (1 << (64 - shift)) - 1
        keys ^= scratch
        if factor is not None:
            keys *= factor - 2**64
