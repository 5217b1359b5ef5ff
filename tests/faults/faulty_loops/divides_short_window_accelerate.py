"""The Accelerate loop without its remedy: it divides by the configured number of micro-batches,
also where the epoch's last window has fewer."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import accelerated
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the accelerated loop does but for that."""
    changed = recipe.model_copy(update={"loss_average": "configured"})
    return accelerated.train(workload, changed, probe)
