"""The plain loop with one fault: within a batch the longest row comes first."""

from dataclasses import replace
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def collate(rows: list[Any]) -> Any:
        return workload.collate(sorted(rows, key=lambda row: -len(row["input_ids"])))

    return plain.train(replace(workload, collate=collate), recipe, probe)
