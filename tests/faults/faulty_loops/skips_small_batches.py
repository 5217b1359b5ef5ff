"""A loop by hand with one fault: it passes over batches that are not full."""

from collections.abc import Iterable

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import Batch, ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loader(self, epoch: int) -> Iterable[Batch]:
        """Those of the right size."""
        full = self.recipe.per_device_batch_size
        return (batch for batch in super().loader(epoch) if len(batch["labels"]) == full)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
