"""A loop by hand with one fault: no update from an epoch's last, short window, on which the
schedule does not count either."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def is_due(self, i: int) -> bool:
        """After whole windows."""
        return (i + 1) % self.k == 0

    def length(self) -> int:
        """In whole windows."""
        return self.recipe.max_steps or self.recipe.num_epochs * (self.batches() // self.k)

    def begins_epoch(self, epoch: int) -> None:
        """With no gradients."""
        self.optimizer.zero_grad()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
