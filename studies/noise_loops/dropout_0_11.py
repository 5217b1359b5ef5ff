"""The plain loop with one fault: dropout is 0.11 where the model's own is 0.10."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train by the recipe."""
    for module in workload.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.11
    return plain.train(workload, recipe, probe)
