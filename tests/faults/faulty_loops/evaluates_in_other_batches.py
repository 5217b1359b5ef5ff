"""A loop by hand with one fault: it evaluates in batches of another size."""

import torch

from harness.spec.recipe import Recipe
from harness.training.evaluation import evaluate_model
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def evaluate(self) -> None:
        """By fives."""
        other = self.recipe.model_copy(update={"eval_batch_size": 5})
        self.probe.evaluated(evaluate_model(self.workload, other, self.model))
        self.model.train()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
