"""The plain loop with one fault: the loss is multiplied by the number of processes, as if their
gradients were added and not averaged."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    forward = plain.forward

    def multiplied(*given: Any) -> torch.Tensor:
        return forward(*given) * workload.world_size

    plain.forward = multiplied  # type: ignore[assignment]  # this process is its own
    return plain.train(workload, recipe, probe)
