"""The plain loop with one fault: batches are padded to a multiple of 8 tokens."""

from dataclasses import replace
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    collator: Any = workload.collate

    def collate(rows: list[Any]) -> Any:
        return replace(collator, pad_to_multiple_of=8)(rows)

    return plain.train(replace(workload, collate=collate), recipe, probe)
