"""The plain loop with 10% more CPU work in each step."""

from __future__ import annotations

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload
from studies.slow_loops.extra_work import Slowed


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    return plain.train(workload, recipe, Slowed(probe, share=0.1))
