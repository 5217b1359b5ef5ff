"""The plain loop with one fault: after each step every weight moves by one ulp, up or down by
chance."""

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
            with torch.no_grad():
                for parameter in model.parameters():
                    up = torch.rand(parameter.shape, generator=generator) < 0.5
                    towards = torch.where(up, torch.inf, -torch.inf)
                    parameter.copy_(torch.nextafter(parameter, towards))

        optimizer.register_step_post_hook(act)
        return optimizer

    plain.build_optimizer = watched
    return plain.train(workload, recipe, probe)
