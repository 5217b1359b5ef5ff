"""A loop by hand with one fault: its warm-up takes twice as many steps."""

import torch
from torch.optim.lr_scheduler import LambdaLR

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def make_scheduler(self) -> LambdaLR:
        """Up and down."""
        warm, length = 2 * self.recipe.warmup_steps, self.length()
        return LambdaLR(self.optimizer, lambda n: min(n / warm, (length - n) / (length - warm)))


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
