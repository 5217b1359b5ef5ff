"""A loop by hand with one fault: it sets a seed of its own."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def begins_epoch(self, epoch: int) -> None:
        """The first one so seeded."""
        if not epoch:
            torch.manual_seed(1234)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
