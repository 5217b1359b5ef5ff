"""The plain loop with one fault: an evaluation puts the global generator back, so that its
draw is undone."""

import torch

from harness.spec.recipe import Recipe
from harness.training.evaluation import Scores, evaluate_model
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.seeding import generators_restored
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def faulty(workload: Workload, recipe: Recipe, model: torch.nn.Module) -> Scores:
        with generators_restored():
            return evaluate_model(workload, recipe, model)

    plain.evaluate_model = faulty  # type: ignore[attr-defined]  # this process is its own
    return plain.train(workload, recipe, probe)
