"""The plain loop with one fault: a resumed process always puts its generators back after the first
fetch, also where a new epoch's loader draws in that fetch."""

from collections.abc import Iterator
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.seeding import GeneratorStates, set_generator_states
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    back = plain.return_to
    states: GeneratorStates = {}

    def remember(saved: dict[str, Any], updates: Any, updates_done: int) -> GeneratorStates:
        states.update(saved["generators"])
        return back(saved, updates, updates_done)

    def late(*given: Any) -> Iterator[list[plain.Batch]]:
        for window in windows(*given):
            if states:
                set_generator_states(states)
                states.clear()
            yield window

    windows, plain.windows, plain.return_to = plain.windows, late, remember  # type: ignore[assignment]  # this process is its own
    return plain.train(workload, recipe, probe)
