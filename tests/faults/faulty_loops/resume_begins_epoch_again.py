"""The plain loop with one fault: a resumed process reads its epoch from the beginning."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.seeding import GeneratorStates, set_generator_states
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def faulty(saved: dict[str, Any], updates: Any, updates_done: int) -> GeneratorStates:
        states: GeneratorStates = saved["generators"]
        set_generator_states(states)
        return states

    plain.return_to = faulty
    return plain.train(workload, recipe, probe)
