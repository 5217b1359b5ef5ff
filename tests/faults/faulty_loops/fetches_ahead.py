"""The plain loop with one fault: a batch is fetched before the one at hand is trained on, so a
collator that draws does so before the dropout."""

from collections.abc import Iterator
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    loader = plain.epoch_loader

    class Ahead:
        def __init__(self, batches: Any) -> None:
            self.batches = batches

        def __len__(self) -> int:
            return len(self.batches)

        def __iter__(self) -> Iterator[plain.Batch]:
            batches = iter(self.batches)
            held = next(batches)
            for batch in batches:
                yield held
                held = batch
            yield held

    def ahead(*given: Any, **named: Any) -> Any:
        return Ahead(loader(*given, **named))

    plain.epoch_loader = ahead
    return plain.train(workload, recipe, probe)
