"""The plain loop with one fault: the second and third batch of an epoch change places."""

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
        held = []
        for number, window in enumerate(windows(*given), start=1):
            if number == 2:
                held.append(window)
                continue
            yield window
            while held:
                yield held.pop()

    plain.windows = faulty  # type: ignore[assignment]  # this process is its own
    return plain.train(workload, recipe, probe)
