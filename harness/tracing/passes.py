"""The forward passes of an update, and the micro-batches of its backward passes.

A further backward pass through the forward passes of one micro-batch belongs to it.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Sequence

from torch import Tensor

from harness.tracing.forward import ForwardPass

__all__ = ["Passes"]

_KEPT = 4096
"""Forward passes since the update before the last; a pass may go backward an update later."""


class Passes:
    """The forward passes that are known, those of the current update in their order."""

    def __init__(self) -> None:
        self._now: deque[ForwardPass] = deque(maxlen=_KEPT)
        self._before: list[ForwardPass] = []
        self._roots: list[weakref.ref[Tensor]] = []

    def append(self, one: ForwardPass) -> None:
        """A pass of the current update."""
        self._now.append(one)

    def __iter__(self) -> Iterator[ForwardPass]:
        """The passes of the current update."""
        return iter(self._now)

    def begin_backward(self, roots: Sequence[Tensor]) -> None:
        """A backward pass begins, which has reached no forward pass yet."""
        self._roots += [weakref.ref(root) for root in roots]
        for one in (*self._before, *self._now):
            one.reached = False

    @property
    def reached(self) -> list[ForwardPass]:
        """The forward passes that the backward pass went back through."""
        return [one for one in (*self._before, *self._now) if one.reached]

    @property
    def micro_batch(self) -> int | None:
        """The number of the micro-batch to which all these belong already; None: to none."""
        numbers = {one.micro_batch for one in self.reached}
        return numbers.pop() if len(numbers) == 1 else None

    @property
    def root_again(self) -> bool:
        """Whether the last tensor that went backward did so in this update before."""
        *before, last = [root() for root in self._roots]
        return last is not None and any(last is each for each in before)

    def begin_micro_batch(self, number: int) -> list[ForwardPass]:
        """The forward passes that the backward pass went back through belong to a micro-batch."""
        reached = self.reached
        for one in reached:
            one.micro_batch = number
        return reached

    def end_update(self) -> None:
        """The passes so far belong to the update before, and to no micro-batch of the next one."""
        self._before = list(self._now)
        self._now.clear()
        self._roots = []
        for one in self._before:
            one.micro_batch = None
