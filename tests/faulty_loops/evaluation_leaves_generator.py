"""The plain loop with one fault: an evaluation puts the global generator back, so that its
draw is undone."""

import torch

from harness.loops import plain
from harness.probe import Probe
from harness.seeding import generators_restored
from harness.spec import Recipe
from harness.workload import Scores, Workload, evaluate_model


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def faulty(workload: Workload, recipe: Recipe, model: torch.nn.Module) -> Scores:
        with generators_restored():
            return evaluate_model(workload, recipe, model)

    plain.evaluate_model = faulty  # type: ignore[attr-defined]  # this process is its own
    return plain.train(workload, recipe, probe)
