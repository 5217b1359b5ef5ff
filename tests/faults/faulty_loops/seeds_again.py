"""The plain loop with one fault: it sets the seed once more, though the model is built."""

import torch
from transformers import set_seed

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    set_seed(recipe.seed)
    return plain.train(workload, recipe, probe)
