"""The plain loop with one fault: after step 6 the weights are replaced by their running mean."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    build = plain.build_optimizer

    def averaging(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        optimizer = build(model, recipe)
        average = torch.optim.swa_utils.AveragedModel(model)
        take = optimizer.zero_grad
        seen = iter(range(1, 1000))

        def replace(*given: Any) -> None:
            take(*given)
            average.update_parameters(model)
            if next(seen) == 6:
                model.load_state_dict(average.module.state_dict())

        optimizer.zero_grad = replace  # type: ignore[assignment]  # called after each step
        return optimizer

    plain.build_optimizer = averaging
    return plain.train(workload, recipe, probe)
