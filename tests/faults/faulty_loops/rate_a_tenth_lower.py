"""The plain loop with one fault: the learning rate is a tenth lower."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    changed = recipe.model_copy(update={"learning_rate": 0.9 * recipe.learning_rate})
    return plain.train(workload, changed, probe)
