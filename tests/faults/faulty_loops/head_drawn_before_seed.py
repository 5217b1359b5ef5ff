"""The plain loop with one fault: the head was drawn before anybody set a seed."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.seeding import generators_restored
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    with generators_restored():
        torch.manual_seed(12345)  # stands for whatever the process began with
        head = workload.model.get_parameter("classifier.weight")
        torch.nn.init.normal_(head, std=workload.model.config.initializer_range)
    return plain.train(workload, recipe, probe)
