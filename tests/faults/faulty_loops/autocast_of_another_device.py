"""The plain loop with one fault: autocast is entered for CUDA, and the model is on the CPU."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def autocast(*_: object) -> torch.autocast:
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_available())

    plain.autocast = autocast  # type: ignore[assignment, attr-defined]  # this process is its own
    return plain.train(workload, recipe, probe)
