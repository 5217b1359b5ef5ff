"""A loop by hand with one fault: a `SubsetRandomSampler` over all rows."""

from typing import Any

import torch
from torch.utils.data import SubsetRandomSampler

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def order(self, epoch: int) -> Any:
        """From the global generator."""
        return SubsetRandomSampler(range(len(self.workload.train_set)))


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
