"""A loop by hand with one fault: `scheduler.step()` once an epoch."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def begins_epoch(self, epoch: int) -> None:
        """With the next rate."""
        if epoch:
            self.scheduler.step()

    def update(self) -> None:
        """The optimizer alone."""
        self.clip()
        self.optimizer.step()
        self.optimizer.zero_grad()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
