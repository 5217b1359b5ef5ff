"""Linear sketches of weights: a few numbers per step, from which distances are estimated.

Each element of a tensor gets a random sign and is added to the bucket of its index modulo
`BUCKETS`. The sketch is linear, so the difference of two runs' sketches is the sketch of the
difference of their weights. The squared 2-norm of the sketch is an unbiased estimate of the squared
2-norm of the difference. Its relative standard deviation is at most sqrt(2 / BUCKETS) if the
difference is spread over many elements; the estimate is exact if one element differs.

Source: the tug-of-war sketch of Alon, Matias and Szegedy, "The space complexity of approximating
the frequency moments" (1999), with the buckets of Charikar, Chen and Farach-Colton, "Finding
frequent items in data streams" (2002).
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from harness.tracing.layouts import Place

__all__ = ["BUCKETS", "Sketches"]

BUCKETS = 61
"""Prime, so that the rows and columns of a weight matrix spread over all buckets."""
_SEED = 20_250_101


class Sketches:
    """Sketches of one model's tensors; the signs depend only on the name that is given."""

    def __init__(self) -> None:
        self._signs: dict[tuple[str, torch.device], Tensor] = {}

    def of(self, name: str, tensor: Tensor, place: Place | None = None) -> list[float]:
        """`BUCKETS` sums for `tensor` [...], in float64. Draws from no global generator.

        The order of summation is the same in each call, so equal tensors have equal sketches.
        `place`: the tensor is a block of a larger one, whose other elements are taken as zeros.
        """
        if place is not None:
            block = tensor.new_zeros(place.shape)
            ends = zip(place.offset, tensor.shape, strict=True)
            block[tuple(slice(at, at + size) for at, size in ends)] = tensor.detach()
            return self.of(name, block)
        flat = tensor.detach().reshape(-1)
        rows = -(-len(flat) // BUCKETS)
        signs = self._signs.get((name, flat.device))
        if signs is None:
            generator = torch.Generator().manual_seed(_SEED + zlib.crc32(name.encode()))
            drawn = torch.randint(0, 2, (len(flat),), generator=generator, dtype=torch.int8)
            signs = self._signs[name, flat.device] = (2 * drawn - 1).to(flat.device)
        signed = torch.nn.functional.pad(flat * signs, (0, rows * BUCKETS - len(flat)))
        sums: list[float] = signed.view(rows, BUCKETS).sum(dim=0, dtype=torch.float64).tolist()
        return sums
