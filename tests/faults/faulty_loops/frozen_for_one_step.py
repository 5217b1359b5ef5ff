"""A loop by hand with one fault: at step 5 the embeddings ask no gradients."""

import torch

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def begins_batch(self, i: int) -> None:
        """Five is the one."""
        for name, parameter in self.model.named_parameters():
            if "embeddings" in name:
                parameter.requires_grad_(self.step != 4)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
