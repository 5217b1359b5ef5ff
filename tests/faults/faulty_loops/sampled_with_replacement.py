"""The plain loop with one fault: rows are drawn with replacement."""

from typing import Any

import torch
from torch.utils.data import DataLoader, RandomSampler

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def drawn(workload: Workload, recipe: Recipe, epoch: int) -> Any:
        rows: Any = workload.train_set
        generator = torch.Generator().manual_seed(recipe.seed + epoch)
        order = RandomSampler(rows, replacement=True, generator=generator)
        size = recipe.per_device_batch_size
        return DataLoader(rows, size, sampler=order, collate_fn=workload.collate)

    plain.epoch_loader = drawn
    return plain.train(workload, recipe, probe)
