"""The plain loop with one fault: weights keep the dtype of their checkpoint, bf16
(`dtype="auto"`), and nothing runs under autocast."""

import dataclasses

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    folder = workload.output_dir / "bf16"
    workload.model.bfloat16().save_pretrained(folder)
    model = type(workload.model).from_pretrained(folder, dtype="auto")
    changed = recipe.model_copy(update={"precision": "fp32"})
    return plain.train(dataclasses.replace(workload, model=model), changed, probe)
