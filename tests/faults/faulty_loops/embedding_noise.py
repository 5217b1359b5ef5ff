"""The plain loop with one fault: uniform noise is added to the embeddings (NEFTune)."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def disturb(module: torch.nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        return (
            output + torch.empty_like(output).uniform_(-0.01, 0.01) if module.training else output
        )

    workload.model.get_input_embeddings().register_forward_hook(disturb)
    return plain.train(workload, recipe, probe)
