"""A loop by hand with one fault: the loss is the sum over the rows of a batch, not their mean."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """With `reduction="sum"`."""
        logits = self.model(**batch).logits
        return torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="sum")


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
