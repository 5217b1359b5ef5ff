"""The plain loop with one fault: dropout is 0.11 instead of the model's 0.1."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """See `plain.train`."""
    for module in workload.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.11
    return plain.train(workload, recipe, probe)
