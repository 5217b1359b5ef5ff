"""The plain loop with a learning rate that a library of the test's sets."""

import harnessfakelib  # type: ignore[import-not-found]  # only in the environments of the test
import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model."""
    rate = harnessfakelib.LEARNING_RATE
    return plain.train(workload, recipe.model_copy(update={"learning_rate": rate}), probe)
