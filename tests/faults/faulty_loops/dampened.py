"""The plain loop with one fault: SGD's momentum is dampened by a tenth."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    build = plain.build_optimizer

    def changed(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        optimizer = build(model, recipe)
        for group in optimizer.param_groups:
            group["dampening"] = 0.1
        return optimizer

    plain.build_optimizer = changed
    return plain.train(workload, recipe, probe)
