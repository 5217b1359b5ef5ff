"""A loop by hand with one fault: the first batch of each epoch comes last."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def order(self, epoch: int) -> list[int]:
        """From the second batch on."""
        rows, size = list(super().order(epoch)), self.recipe.per_device_batch_size
        return rows[size:] + rows[:size]


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
