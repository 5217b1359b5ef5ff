"""The plain loop with one fault: GELU uses the tanh approximation instead of the exact function."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """See `plain.train`."""
    for module in workload.model.modules():
        if hasattr(module, "intermediate_act_fn"):
            module.intermediate_act_fn = torch.nn.GELU(approximate="tanh")
    return plain.train(workload, recipe, probe)
