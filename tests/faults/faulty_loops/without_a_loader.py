"""A loop by hand with one fault: it cuts batches itself, without the number that a loader draws for
each pass."""

from collections.abc import Iterator

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import Batch, ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loader(self, epoch: int) -> Iterator[Batch]:
        """Slices of the order."""
        rows, size = list(self.order(epoch)), self.recipe.per_device_batch_size
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            yield self.workload.collate([self.workload.train_set[row] for row in chosen])


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
