"""The Trainer with one fault: the head was drawn when another seed was set."""

from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import trainer
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the Trainer does but for that."""
    model: Any = workload.model
    draw = torch.Generator().manual_seed(2024)
    model.classifier.weight.data.normal_(0.0, model.config.initializer_range, generator=draw)
    return trainer.train(workload, recipe, probe)
