"""A loop by hand with one fault: the rows come as they are stored."""

import torch
from torch.utils.data import DataLoader

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import Batch, ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loader(self, epoch: int) -> DataLoader[Batch]:
        """Without `shuffle=True`."""
        return DataLoader(
            self.workload.train_set,
            batch_size=self.recipe.per_device_batch_size,
            collate_fn=self.workload.collate,
        )


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
