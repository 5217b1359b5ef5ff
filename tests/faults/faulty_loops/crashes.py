"""A loop that raises after its second step."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train two steps, then fail."""
    plain.train(workload, recipe.model_copy(update={"max_steps": 2}), probe)
    raise RuntimeError("out of <b>luck</b>")
