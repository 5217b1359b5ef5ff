"""The plain loop with one fault: at step 3 one label is the other one."""

from collections.abc import Iterator
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    windows = plain.windows

    def faulty(*given: Any) -> Iterator[list[plain.Batch]]:
        for number, window in enumerate(windows(*given), start=1):
            if number == 3:
                window[0]["labels"][1] = 1 - window[0]["labels"][1]
            yield window

    plain.windows = faulty  # type: ignore[assignment]  # this process is its own
    return plain.train(workload, recipe, probe)
