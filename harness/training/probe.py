"""`Probe`: the interface through which a loop reports to its observer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.training.evaluation import Scores

__all__ = ["Probe"]


class Probe(Protocol):
    """The calls that a loop makes. They change nothing in the training."""

    def watch(
        self,
        model: nn.Module,
        *optimizers: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """Call once, after the optimizer is built and before the first step.

        `rates`: the learning rate of each step, if no scheduler of torch sets it.
        """

    def logged(self, loss: float | Tensor) -> None:
        """Call after each update with the loss that the loop reports to its user."""

    def evaluated(self, scores: Scores) -> None:
        """Call after each evaluation during the training."""

    def remedied(self, what: str) -> None:
        """Call if the loop works around a fault of its framework; `what` appears in the report."""

    def saved(self, checkpoint: Path) -> None:
        """Call after each checkpoint, a file or folder in the workload's `output_dir`."""
