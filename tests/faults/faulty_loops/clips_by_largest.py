"""The plain loop with one fault: gradients are scaled down by their largest element, and not by
their 2-norm."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    clip = torch.nn.utils.clip_grad_norm_

    def by_largest(parameters: Any, max_norm: float) -> torch.Tensor:
        return clip(parameters, max_norm / 50, norm_type=float("inf"))

    torch.nn.utils.clip_grad_norm_ = by_largest  # type: ignore[assignment]  # this process is its own
    return plain.train(workload, recipe, probe)
