"""Slows a loop by a known share of CPU work, to measure whether a bench detects it.

It is real work, matrix products in the training thread, not a sleep that would yield the core to
another process. The thread's CPU clock, which stops while the machine runs another process, keeps
its share constant in each step. The values that the loop computes stay the same, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.tracing.wrappers import unwrapped_optimizer
from harness.training.evaluation import Scores
from harness.training.probe import Probe

__all__ = ["Slowed"]

_SIZE = 48  # a product takes some microseconds, far less than a thousandth of a step


class Slowed:
    """Passes every call on to a probe, and works after each update before other hooks run."""

    def __init__(self, probe: Probe, share: float) -> None:
        """`share`: extra work relative to the CPU time that the thread spent on the step so far."""
        self._probe, self._share = probe, share
        self._matrix = torch.eye(_SIZE)

    def watch(
        self,
        model: nn.Module,
        *optimizers: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`."""
        unwrapped_optimizer(optimizers[0]).register_step_post_hook(self._work)
        self._since_s = time.thread_time()
        self._probe.watch(model, *optimizers, rates=rates)

    def _work(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        now_s = time.thread_time()
        until_s = now_s + self._share * (now_s - self._since_s)
        while time.thread_time() < until_s:
            torch.mm(self._matrix, self._matrix)
        self._since_s = time.thread_time()

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`."""
        self._probe.logged(loss)

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`."""
        self._probe.evaluated(scores)

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`."""
        self._probe.remedied(what)

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""
        self._probe.saved(checkpoint)
