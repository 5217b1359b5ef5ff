"""A loop by hand with one fault: AdamW as torch makes it where nobody says fused."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """By torch's own choice."""
        return torch.optim.AdamW(self.groups(), lr=self.recipe.learning_rate)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
