"""A loop by hand with one fault: an epoch's last, short window makes no update, and its gradients
stay."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def is_due(self, i: int) -> bool:
        """After whole windows."""
        return (i + 1) % self.k == 0


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
