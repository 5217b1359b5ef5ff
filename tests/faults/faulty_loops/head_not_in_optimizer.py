"""The plain loop with one fault: the optimizer is given the encoder alone."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    build = plain.build_optimizer

    def of_encoder(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        return build(workload.model.base_model, recipe)

    plain.build_optimizer = of_encoder
    return plain.train(workload, recipe, probe)
