"""A loop by hand with one fault: `scheduler.step()` after each batch of a window."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def share(self, i: int) -> float:
        """With a step of the schedule for every loss but that of the update, which has its own."""
        if not self.is_due(i):
            self.scheduler.step()
        return super().share(i)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
