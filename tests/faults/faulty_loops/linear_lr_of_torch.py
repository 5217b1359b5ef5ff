"""A loop by hand with one fault: `LinearLR` makes each rate of the one before, and rounds
otherwise."""

import torch
from torch.optim.lr_scheduler import LinearLR

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_scheduler(self) -> LinearLR:
        """The same line."""
        return LinearLR(self.optimizer, 1.0, 0.0, total_iters=self.length())


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
