"""Trains like the plain loop, and hangs at the optimizer's tenth step."""

import time
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe, as long as that goes."""
    steps = 0

    def hang(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 10:
            time.sleep(3600)

    register_optimizer_step_pre_hook(hang)
    return plain.train(workload, recipe, probe)
