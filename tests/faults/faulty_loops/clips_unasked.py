"""The stock Trainer with one fault: `max_grad_norm` is left at its default of 1."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import trainer
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the trainer loop does but for that."""
    changed = recipe.model_copy(update={"max_grad_norm": 1.0})
    return trainer.train(workload, changed, probe)
