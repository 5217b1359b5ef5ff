"""The plain loop with one fault: the loss is computed outside the model, with labels that are
shifted twice."""

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
        logits = model(**batch).logits[:, :-2]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 2:].flatten())

    plain.forward = forward  # type: ignore[assignment]  # this process is its own
    return plain.train(workload, recipe, probe)
