"""A loop by hand with one fault: the order's generator is seeded once, and not anew in each
epoch."""

import torch
from torch.utils.data import RandomSampler

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def order(self, epoch: int) -> RandomSampler:
        """The first epoch is right."""
        if not epoch:
            self.draw = torch.Generator().manual_seed(self.recipe.seed)
        return RandomSampler(self.workload.train_set, generator=self.draw)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
