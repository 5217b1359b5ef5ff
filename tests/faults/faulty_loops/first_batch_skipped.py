"""A loop by hand with one fault: each epoch begins with its second batch."""

import itertools
from collections.abc import Iterable

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import Batch, ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loader(self, epoch: int) -> Iterable[Batch]:
        """Less the first."""
        return itertools.islice(super().loader(epoch), 1, None)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
