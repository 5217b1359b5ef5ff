"""A loop by hand with two faults: rows as they are stored, and gradients that are never zeroed."""

import torch
from torch.utils.data import SequentialSampler

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def order(self, epoch: int) -> SequentialSampler:
        """None."""
        return SequentialSampler(self.workload.train_set)

    def update(self) -> None:
        """Without zeroing."""
        self.clip()
        self.optimizer.step()
        self.scheduler.step()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
