"""A loop whose process is killed after its second step, as the kernel does when memory ends."""

import os
import signal

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train two steps, then die without a word."""
    plain.train(workload, recipe.model_copy(update={"max_steps": 2}), probe)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")
