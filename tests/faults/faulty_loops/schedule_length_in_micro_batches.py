"""The plain loop with one fault: the schedule is as long as there are micro-batches."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    share = plain.schedule

    def slow(recipe: Recipe, step: int, num_steps: int) -> float:
        return share(recipe, step, num_steps * recipe.gradient_accumulation_steps)

    plain.schedule = slow
    return plain.train(workload, recipe, probe)
