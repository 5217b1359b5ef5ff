"""The plain loop with one fault: the loss is taken of logits divided by 2."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def forward(model: torch.nn.Module, batch: plain.Batch, *_: Any) -> torch.Tensor:
        labels = batch.pop("labels")
        return torch.nn.functional.cross_entropy(model(**batch).logits / 2, labels)

    plain.forward = forward  # type: ignore[assignment]  # this process is its own
    return plain.train(workload, recipe, probe)
