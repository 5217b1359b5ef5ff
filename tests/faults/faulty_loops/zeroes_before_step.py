"""A loop by hand with one fault: gradients are zeroed before the update, which gets nothing."""

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
        self.optimizer.zero_grad(set_to_none=False)
        self.optimizer.step()
        self.scheduler.step()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
