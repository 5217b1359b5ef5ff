"""A plain loop that uses an operation which cannot repeat itself."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Write twice to one place, in an order that nobody promises, and train."""
    torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))
    return plain.train(workload, recipe, probe)
