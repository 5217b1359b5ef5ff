"""A loop by hand with one fault: it sums the cross-entropy and divides it by all labels, of which
the first of each row is never predicted."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The sum over the predicted labels, over the number of all."""
        logits = self.model(**batch).logits
        labels = batch["labels"]
        total = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
        )
        return total / (labels != -100).sum()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
