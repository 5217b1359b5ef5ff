"""A loop by hand with one fault: a prefetcher that holds two batches ready."""

from collections import deque
from collections.abc import Iterator

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import Batch, ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def loader(self, epoch: int) -> Iterator[Batch]:
        """Each batch when two more are there."""
        ready: deque[Batch] = deque()
        for batch in super().loader(epoch):
            ready.append(batch)
            if len(ready) > 2:
                yield ready.popleft()
        yield from ready


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
