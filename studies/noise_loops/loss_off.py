"""The plain loop with one fault: every gradient is 0.1% too large, as with a scaled loss."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """See `plain.train`."""
    for parameter in workload.model.parameters():
        parameter.register_hook(lambda gradient: gradient * 1.001)
    return plain.train(workload, recipe, probe)
