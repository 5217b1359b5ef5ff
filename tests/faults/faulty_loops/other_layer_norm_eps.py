"""The plain loop with one fault: LayerNorm's eps is torch's default, not BERT's."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    for module in workload.model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5
    return plain.train(workload, recipe, probe)
