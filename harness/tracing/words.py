"""The memory of tensors as words of at most 32 bits, and where each lies in its whole tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from harness.tracing.layouts import Piece, Place, pieces

__all__ = ["WORD_TYPES", "Words", "groups_of_words"]

WORD_TYPES = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int32, 16: torch.int32}
"""The type of the words of a tensor, by the bytes of its elements."""


class Words(NamedTuple):
    """Words of one tensor, and where they lie in it."""

    tensor: int
    """The number of the tensor."""
    words: Tensor
    piece: Piece
    """Counted in words; `begin` is the place of the first of these words in their piece."""


def groups_of_words(
    tensors: Sequence[Tensor], places: Sequence[Place | None], kind: torch.dtype, most: int
) -> Iterator[list[Words]]:
    """Words of one type, in groups of at most `most` of them."""
    group: list[Words] = []
    room = most
    for number, (tensor, place) in enumerate(zip(tensors, places, strict=True)):
        if WORD_TYPES[tensor.element_size()] != kind:
            continue
        words = tensor.detach().contiguous().view(-1).view(kind)
        for piece in _pieces(tensor, place, len(words)):
            start = 0
            while start < piece.size:
                taken = min(room, piece.size - start)
                at = piece.begin + start
                part = piece._replace(begin=start, size=taken)
                group.append(Words(number, words[at : at + taken], part))
                start += taken
                room -= taken
                if not room:
                    yield group
                    group, room = [], most
    if group:
        yield group


def _pieces(tensor: Tensor, place: Place | None, words: int) -> Iterator[Piece]:
    """The pieces of a tensor, counted in words."""
    if place is None or not words:
        yield Piece(0, words, 0, words, words)
        return
    # An element of several words is a further, whole dimension.
    each = words // tensor.numel()
    block = Place((*place.shape, each), (*place.offset, 0))
    yield from pieces((*tensor.shape, each), block)
