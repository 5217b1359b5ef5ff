"""The plain loop with one fault: the loss is doubled, for no reason."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    forward = plain.forward

    def faulty(*given: Any) -> torch.Tensor:
        return 2 * forward(*given)

    plain.forward = faulty  # type: ignore[assignment]  # this process is its own
    return plain.train(workload, recipe, probe)
