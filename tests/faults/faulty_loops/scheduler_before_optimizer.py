"""A loop by hand with one fault: `scheduler.step()` comes before `optimizer.step()`."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def update(self) -> None:
        """In the wrong order."""
        self.clip()
        self.scheduler.step()
        self.optimizer.step()
        self.optimizer.zero_grad()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
