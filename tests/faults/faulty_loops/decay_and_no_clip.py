"""A loop by hand with two faults: AdamW's own decay, and no clipping."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Nothing said of decay."""
        return torch.optim.AdamW(self.model.parameters(), self.recipe.learning_rate, fused=True)

    def clip(self) -> None:
        """Not at all."""


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
