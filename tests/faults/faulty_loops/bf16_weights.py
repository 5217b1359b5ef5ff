"""The plain loop with one fault: the model is cast to bf16, so that small updates are lost."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    workload.model.bfloat16()
    return plain.train(workload, recipe, probe)
