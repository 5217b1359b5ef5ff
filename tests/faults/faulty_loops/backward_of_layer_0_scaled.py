"""A plain loop with one fault: from the second step on one layer hands back another gradient."""

from typing import Any

import torch
from torch import Tensor

from harness.spec.recipe import Recipe
from harness.training.loops.plain import build_optimizer, epoch_loader, schedule
from harness.training.probe import Probe
from harness.training.workload import Workload


class ScaledBack(torch.autograd.Function):
    """Hands its input through, and back a gradient that is off by a thousandth."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """The input."""
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The fault."""
        return gradients[0] * 1.001


def through(module: torch.nn.Module, args: Any, output: Tensor) -> Any:
    """The output of the module, with the fault behind it."""
    return ScaledBack.apply(output)  # type: ignore[no-untyped-call]  # torch has no types for it


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train for two epochs."""
    model: torch.nn.Module = workload.model
    optimizer = build_optimizer(model, recipe)
    num_steps = 2 * len(epoch_loader(workload, recipe, epoch=0))
    probe.watch(model, optimizer)
    step = 0
    model.train()
    for epoch in range(2):
        for batch in epoch_loader(workload, recipe, epoch):
            if step == 1:
                layer = model.get_submodule("bert.encoder.layer.0.intermediate.dense")
                layer.register_forward_hook(through)
            model(**batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(recipe, step, num_steps)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    return model
