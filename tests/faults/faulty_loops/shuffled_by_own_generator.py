"""A loop by hand with one fault: the loader shuffles by a generator that is seeded once."""

from typing import Any

import torch
from torch.utils.data import DataLoader

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loader(self, epoch: int) -> Any:
        """The same one in every epoch."""
        if not epoch:
            self.kept = DataLoader(
                self.workload.train_set,
                batch_size=self.recipe.per_device_batch_size,
                shuffle=True,
                generator=torch.Generator().manual_seed(self.recipe.seed),
                collate_fn=self.workload.collate,
            )
        return self.kept


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
