"""A loop by hand with one fault: gradients are zeroed where an epoch begins."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def begins_epoch(self, epoch: int) -> None:
        """With no gradients."""
        self.optimizer.zero_grad(set_to_none=False)

    def update(self) -> None:
        """Without zeroing."""
        self.clip()
        self.optimizer.step()
        self.scheduler.step()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
