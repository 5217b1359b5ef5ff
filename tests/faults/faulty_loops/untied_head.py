"""A loop by hand with one fault: the output weights are no longer those of the embedding."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """With a matrix more."""
        model: Any = self.model
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        return super().make_optimizer()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
