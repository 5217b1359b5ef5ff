"""A loop by hand with two faults: rows in the order of the global generator, and a for-loop
AdamW."""

import torch
from torch.utils.data import RandomSampler

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def order(self, epoch: int) -> RandomSampler:
        """As `shuffle=True` draws it."""
        return RandomSampler(self.workload.train_set)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """By torch's own choice."""
        return torch.optim.AdamW(self.groups(), lr=self.recipe.learning_rate)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
