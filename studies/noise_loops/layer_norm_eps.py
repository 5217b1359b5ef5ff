"""The plain loop with one fault: the eps of LayerNorm is 1e-5 instead of BERT's 1e-12."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """See `plain.train`."""
    for module in workload.model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5
    return plain.train(workload, recipe, probe)
