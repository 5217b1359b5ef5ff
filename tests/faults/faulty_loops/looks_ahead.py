"""A loop by hand with one fault: after every third step the weights go back half the way to where
they were."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def update(self) -> None:
        """And one of the slow weights."""
        if not self.step:
            self.slow = [p.detach().clone() for p in self.model.parameters()]
        super().update()
        if (self.step + 1) % 3 == 0:
            with torch.no_grad():
                for fast, slow in zip(self.model.parameters(), self.slow, strict=True):
                    slow.add_(fast - slow, alpha=0.5)
                    fast.copy_(slow)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
