"""A loop by hand with one fault: gradients are clipped to half the norm."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def clip(self) -> None:
        """Tighter."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
