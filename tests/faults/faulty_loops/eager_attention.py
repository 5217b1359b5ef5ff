"""The plain loop with one fault: the model computes attention without the fused kernel."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    workload.model.set_attn_implementation("eager")
    return plain.train(workload, recipe, probe)
