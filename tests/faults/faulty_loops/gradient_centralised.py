"""The plain loop with one fault: each matrix of gradients loses its mean before the step."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    build = plain.build_optimizer

    def watched(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        optimizer = build(model, recipe)

        def act(*_: object) -> None:
            for parameter in model.parameters():
                if parameter.grad is not None and parameter.ndim > 1:
                    parameter.grad -= parameter.grad.mean(dim=1, keepdim=True)

        optimizer.register_step_pre_hook(act)
        return optimizer

    plain.build_optimizer = watched
    return plain.train(workload, recipe, probe)
