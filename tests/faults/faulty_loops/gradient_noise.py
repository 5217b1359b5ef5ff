"""The plain loop with one fault: noise of a millionth is added to the gradients before the step."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    build = plain.build_optimizer
    generator = torch.Generator().manual_seed(0)

    def watched(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        optimizer = build(model, recipe)

        def act(*_: object) -> None:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad += 1e-6 * torch.randn(parameter.shape, generator=generator)

        optimizer.register_step_pre_hook(act)
        return optimizer

    plain.build_optimizer = watched
    return plain.train(workload, recipe, probe)
