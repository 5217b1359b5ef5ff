"""A loop by hand with one fault: `train()` is called once, and an evaluation undoes it."""

import torch

from harness.spec.recipe import Recipe
from harness.training.evaluation import evaluate_model
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def evaluate(self) -> None:
        """And leave it at that."""
        self.probe.evaluated(evaluate_model(self.workload, self.recipe, self.model))


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
