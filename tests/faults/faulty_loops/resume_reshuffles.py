"""The plain loop with one fault: a resumed process draws another order for what is left of its
epoch."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    loader = plain.epoch_loader

    def faulty(workload: Workload, recipe: Recipe, epoch: int) -> Any:
        if workload.resume_from is None:
            return loader(workload, recipe, epoch)
        changed = recipe.model_copy(update={"data_seed": recipe.seed + 1000})
        return loader(workload, changed, epoch)

    plain.epoch_loader = faulty
    return plain.train(workload, recipe, probe)
