"""A loop by hand with one fault: a `WeightedRandomSampler` draws rows, some of them twice."""

import torch
from torch.utils.data import WeightedRandomSampler

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def order(self, epoch: int) -> WeightedRandomSampler:
        """All weights are equal."""
        rows = len(self.workload.train_set)
        return WeightedRandomSampler([1.0] * rows, rows)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
