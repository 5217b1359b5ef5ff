"""The plain loop with one fault: the head's initial weight is off by a millionth."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train by the recipe."""
    with torch.no_grad():
        workload.model.get_parameter("classifier.weight").mul_(1 + 1e-6)
    return plain.train(workload, recipe, probe)
