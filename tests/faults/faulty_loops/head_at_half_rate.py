"""The plain loop with one fault: the head has a group of its own, with half the learning rate."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    build = plain.build_optimizer

    def build_with_group(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        optimizer = build(model, recipe)
        head = list(model.get_submodule("classifier").parameters())
        for group in optimizer.param_groups:
            group["params"] = [p for p in group["params"] if all(p is not q for q in head)]
        optimizer.add_param_group({"params": head, "weight_decay": 0.0})

        def halve(*_: object) -> None:
            optimizer.param_groups[-1]["lr"] *= 0.5

        optimizer.register_step_pre_hook(halve)
        return optimizer

    plain.build_optimizer = build_with_group
    return plain.train(workload, recipe, probe)
