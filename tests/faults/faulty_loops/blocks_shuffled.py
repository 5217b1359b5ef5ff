"""A loop by hand with one fault: stretches of four rows are shuffled, not rows."""

import random

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def order(self, epoch: int) -> list[int]:
        """Of the right order, so cut."""
        rows = list(super().order(epoch))
        blocks = [rows[i : i + 4] for i in range(0, len(rows), 4)]
        random.Random(epoch).shuffle(blocks)
        return [row for block in blocks for row in block]


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
