"""The plain loop with one fault: weights keep the dtype of their checkpoint, bf16
(`dtype="auto"`), and nothing runs under autocast."""

import torch

from harness.loops import plain
from harness.probe import Probe
from harness.spec import Recipe
from harness.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    model: torch.nn.Module = workload.model
    model.to(torch.bfloat16)
    return plain.train(workload, recipe.model_copy(update={"precision": "fp32"}), probe)
