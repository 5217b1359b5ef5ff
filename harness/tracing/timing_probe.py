"""The timing probe: the seconds of each optimizer step."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from harness.tracing.forward import ForwardPass
from harness.tracing.hooks import HookedProbe

__all__ = ["TimingProbe"]


class TimingProbe(HookedProbe):
    """Records the seconds from the end of one optimizer step to the end of the next."""

    def _watched(self) -> None:
        self._since = self._ended = time.perf_counter()

    def _begin_pass(self, one: ForwardPass) -> None:
        if one.with_gradient:
            values: tuple[Any, ...] = (*one.args, *one.kwargs.values())
            batch = next((value for value in values if isinstance(value, Tensor)), None)
            self.counts.samples += 0 if batch is None or not batch.ndim else len(batch)

    def _end_step(self, optimizer: torch.optim.Optimizer, with_backward: bool) -> None:
        self._ended = time.perf_counter()

    def _record_update(self, step: int) -> None:
        self._writer.add("timings", step=step, step_s=self._ended - self._since)
        self._since = self._ended
