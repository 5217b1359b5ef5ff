"""A loop by hand with one fault: the head's weights are 1.6 times as large at the beginning."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Of the model so changed."""
        model: Any = self.model
        model.classifier.weight.data *= 1.6
        return super().make_optimizer()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
