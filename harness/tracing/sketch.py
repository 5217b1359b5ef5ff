"""Linear sketches of weights: few enough numbers a step to keep, from which distances follow.

Each element of a tensor gets a random sign, and is added to the bucket of its place modulo
`BUCKETS`. The sketch is linear, so the difference of two runs' sketches is the sketch of the
difference of their weights, and its squared 2-norm estimates that of the difference without bias,
with a relative standard deviation of at most sqrt(2 / BUCKETS) where the difference is spread over
many elements, and exactly where it lies in one. Source: the tug-of-war sketch of Alon, Matias and
Szegedy, "The space complexity of approximating the frequency moments" (1999), with the buckets of
Charikar, Chen and Farach-Colton, "Finding frequent items in data streams" (2002).
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

__all__ = ["BUCKETS", "Sketches"]

BUCKETS = 61
"""Prime, so that the rows and columns of a weight matrix spread over all buckets."""
_SEED = 20_250_101


class Sketches:
    """Sketches of the parameters of one model; the signs depend on a parameter's name alone."""

    def __init__(self) -> None:
        self._signs: dict[str, Tensor] = {}

    def of(self, name: str, tensor: Tensor) -> list[float]:
        """`BUCKETS` numbers for `tensor` [...], summed in float64. Draws from no global generator.

        The order of the sums is the same at each call, so equal tensors have equal sketches.
        """
        flat = tensor.detach().reshape(-1)
        rows = -(-len(flat) // BUCKETS)
        signs = self._signs.get(name)
        if signs is None:
            generator = torch.Generator().manual_seed(_SEED + zlib.crc32(name.encode()))
            drawn = torch.randint(0, 2, (len(flat),), generator=generator, dtype=torch.int8)
            signs = self._signs[name] = (2 * drawn - 1).to(flat.device)
        signed = torch.nn.functional.pad(flat * signs, (0, rows * BUCKETS - len(flat)))
        sums: list[float] = signed.view(rows, BUCKETS).sum(dim=0, dtype=torch.float64).tolist()
        return sums
