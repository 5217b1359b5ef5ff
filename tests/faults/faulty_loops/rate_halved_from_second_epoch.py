"""The plain loop with one fault: from the second epoch on the learning rate is halved."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    share, taken = plain.schedule, 6

    def halved(recipe: Recipe, step: int, num_steps: int) -> float:
        return share(recipe, step, num_steps) * (1.0 if step < taken else 0.5)

    plain.schedule = halved
    return plain.train(workload, recipe, probe)
