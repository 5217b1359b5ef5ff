"""The plain loop with one fault: the initial weight of the head is too large by a millionth."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """See `plain.train`."""
    with torch.no_grad():
        workload.model.get_parameter("classifier.weight").mul_(1 + 1e-6)
    return plain.train(workload, recipe, probe)
