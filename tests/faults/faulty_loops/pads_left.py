"""A loop by hand with one fault: padding stands before the tokens."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import Batch, ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loss(self, batch: Batch) -> torch.Tensor:
        """Of the batch turned over, row by row."""
        width = batch["attention_mask"].shape[1]
        shifts = width - batch["attention_mask"].sum(1, keepdim=True)
        places = (torch.arange(width) - shifts) % width
        moved = {
            name: value.gather(1, places) if value.ndim == 2 else value
            for name, value in batch.items()
        }
        return super().loss(moved)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
