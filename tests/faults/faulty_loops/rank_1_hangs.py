"""The plain loop, whose second process hangs after two steps."""

import time
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train until then."""
    taken = 0
    windows = plain.windows

    def two_and_no_more(*given: Any) -> Any:
        nonlocal taken
        for window in windows(*given):
            taken += 1
            if taken == 3 and workload.rank == 1:
                time.sleep(3600)
            yield window

    plain.windows = two_and_no_more  # type: ignore[assignment]  # this process is its own
    return plain.train(workload, recipe, probe)
