"""The plain loop with one fault: one initial weight matrix is rounded to bf16."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """See `plain.train`."""
    weight = workload.model.get_parameter("bert.pooler.dense.weight")
    with torch.no_grad():
        weight.copy_(weight.bfloat16())
    return plain.train(workload, recipe, probe)
