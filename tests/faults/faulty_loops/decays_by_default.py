"""The plain loop with one fault: AdamW keeps its own decay of 0.01, for every parameter."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    changed = recipe.model_copy(update={"weight_decay": 0.01, "decay_exclusions": "none"})
    return plain.train(workload, changed, probe)
