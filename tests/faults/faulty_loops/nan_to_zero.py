"""A loop by hand with one fault: at step 2 the loss is infinite, and what is no number among the
gradients becomes 0 unseen."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Divided by zero, once."""
        found = super().loss(batch)
        return found / 0 if self.step == 1 else found

    def clip(self) -> None:
        """Of numbers."""
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0, 0, 0)
        super().clip()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
