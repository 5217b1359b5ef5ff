"""The Accelerate loop with one fault: `use_seedable_sampler` is left at its default."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import accelerated
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the accelerated loop does but for that."""
    changed = recipe.model_copy(update={"sampler": "global"})
    return accelerated.train(workload, changed, probe)
