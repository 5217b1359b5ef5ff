"""What a loop knows of its observer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.training.evaluation import Scores

__all__ = ["Probe"]


class Probe(Protocol):
    """What a loop knows of its observer."""

    def watch(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """To be called once, after the optimizer is made and before the first step.

        `rates`: the learning rate of each step, where no scheduler of torch's sets it.
        """

    def logged(self, loss: float | Tensor) -> None:
        """To be called after each update with the loss that the loop shows its user."""

    def evaluated(self, scores: Scores) -> None:
        """To be called after each evaluation amid the training."""

    def remedied(self, what: str) -> None:
        """To be called where a loop works around a fault of its framework; the report says so."""

    def saved(self, checkpoint: Path) -> None:
        """To be called after each checkpoint, a file or folder in the workload's `output_dir`."""
