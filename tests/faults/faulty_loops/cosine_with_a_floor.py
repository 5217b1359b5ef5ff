"""A loop by hand with one fault: the cosine ends at a tenth of its peak, not at zero."""

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_scheduler(self) -> CosineAnnealingLR:
        """Torch's own."""
        floor = 0.1 * self.recipe.learning_rate
        return CosineAnnealingLR(self.optimizer, T_max=self.length(), eta_min=floor)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
