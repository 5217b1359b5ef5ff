"""A loop by hand with one fault: the first layer of the encoder asks no gradients."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Of the rest."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(".layer.0." not in name)
        return super().make_optimizer()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
