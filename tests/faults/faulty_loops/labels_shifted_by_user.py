"""The plain loop with one fault: labels are shifted by the user, and once more by the model."""

from dataclasses import replace
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    collate = workload.collate

    def shifted(rows: list[Any]) -> Any:
        batch = collate(rows)
        batch["labels"] = torch.nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=-100)
        return batch

    return plain.train(replace(workload, collate=shifted), recipe, probe)
