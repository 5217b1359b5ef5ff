"""A loop by hand with one fault: the weights are shaken a little between epochs."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def begins_epoch(self, epoch: int) -> None:
        """With noise from a generator of its own."""
        draw = torch.Generator().manual_seed(epoch)
        for parameter in self.model.parameters():
            if epoch:
                parameter.data += 1e-4 * torch.randn(parameter.shape, generator=draw)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
