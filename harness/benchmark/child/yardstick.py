"""The yardstick: a fixed piece of work, timed in each turn to measure the speed of the machine.

It distinguishes a slower machine from slower loops, since it does not depend on the workload, the
loops or the libraries above torch. It contains what a step consists of: matrix products, memory
reads and writes, and many small operations, whose cost is mostly the interpreter and torch's
dispatcher. It draws no random numbers and leaves nothing behind.
"""

from __future__ import annotations

import statistics

import torch

from harness.execution.child.clocks import own_clock_s, synchronize

__all__ = ["Yardstick"]

_REPEATS = 5
_PRODUCTS, _COPIES, _SMALL = 6, 2, 400
_SIZES = {"cpu": (256, 1 << 20)}
_SIZE = (2048, 1 << 26)  # of an accelerator: rows of a matrix, elements that are copied


class Yardstick:
    """The work and its tensors."""

    def __init__(self, device: torch.device) -> None:
        rows, elements = _SIZES.get(device.type, _SIZE)
        self._device = device
        self._matrix = torch.full((rows, rows), 1.0 / rows, device=device)
        self._product = torch.empty_like(self._matrix)
        self._long = torch.ones(elements, device=device)
        self._copy = torch.empty_like(self._long)
        self._short = torch.ones(64, device=device)

    def __call__(self) -> float:
        """Own seconds of the work: the median of a few repetitions."""
        return statistics.median(self._once_s() for _ in range(_REPEATS))

    def _once_s(self) -> float:
        synchronize(self._device)
        since = own_clock_s()
        with torch.no_grad():
            for _ in range(_PRODUCTS):
                torch.mm(self._matrix, self._matrix, out=self._product)
            for _ in range(_COPIES):
                self._copy.copy_(self._long)
            for _ in range(_SMALL):
                self._short.mul_(1.0)
        synchronize(self._device)
        return own_clock_s() - since
