"""A loop by hand with one fault: all parameters decay, by twice what was asked for."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """One group."""
        rate, decay = self.recipe.learning_rate, 2 * self.recipe.weight_decay
        return torch.optim.AdamW(self.model.parameters(), rate, weight_decay=decay, fused=True)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
