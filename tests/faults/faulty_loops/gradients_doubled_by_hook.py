"""A loop by hand with one fault: a hook doubles all gradients."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """And a hook on each parameter."""
        for parameter in self.model.parameters():
            parameter.register_hook(lambda gradient: 2 * gradient)
        return super().make_optimizer()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
