"""The timing probe: the seconds of each optimizer step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.tracing.hooks import HookedProbe

__all__ = ["TimingProbe"]


class TimingProbe(HookedProbe):
    """Records the seconds from the end of one optimizer step to the end of the next."""

    def _attach(
        self, model: nn.Module, called: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self._since = time.perf_counter()
        self._handles.append(
            called.register_forward_pre_hook(self._before_forward, with_kwargs=True)
        )
        self._handles.append(optimizer.register_step_post_hook(self._after_step))

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        if torch.is_grad_enabled():
            self.counts.micro_batches += 1
            batch = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
            self.counts.samples += len(batch)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        now = time.perf_counter()
        self.counts.steps += 1
        self._writer.add("timings", step=self.counts.steps, step_s=now - self._since)
        self._listener.after_step(self.counts.steps)
        self._since = now
