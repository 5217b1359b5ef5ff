"""The plain loop with one fault: torch splits its sums among two threads."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    torch.set_num_threads(2)
    return plain.train(workload, recipe, probe)
