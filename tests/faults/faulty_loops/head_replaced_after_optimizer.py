"""A loop by hand with one fault: the head is replaced by a copy of itself when the optimizer is
made."""

import copy
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Before the model is what it will be."""
        made = super().make_optimizer()
        model: Any = self.model
        model.classifier = copy.deepcopy(model.classifier)
        return made


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
