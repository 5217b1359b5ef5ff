"""The plain loop whose processes draw dropout of their own each: nothing wrong."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train by the recipe."""
    torch.manual_seed(recipe.seed + workload.rank)
    return plain.train(workload, recipe, probe)
