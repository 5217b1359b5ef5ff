"""A loop by hand with one fault: NumPy draws the order of the rows."""

import numpy as np
import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def order(self, epoch: int) -> list[int]:
        """From a generator of its own."""
        draw = np.random.default_rng([self.recipe.seed, epoch])
        rows: list[int] = draw.permutation(len(self.workload.train_set)).tolist()
        return rows


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
