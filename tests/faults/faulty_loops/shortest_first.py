"""A loop by hand with one fault: short rows come first, in each epoch."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def order(self, epoch: int) -> list[int]:
        """As a curriculum has it."""
        rows = self.workload.train_set["input_ids"]
        return sorted(range(len(rows)), key=lambda row: len(rows[row]))


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
