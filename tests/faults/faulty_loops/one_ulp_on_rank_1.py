"""The plain loop with one fault: at step 3 one weight of the second process moves by one ulp."""

from collections.abc import Sequence
from pathlib import Path

import torch

from harness.spec.recipe import Recipe
from harness.training.evaluation import Scores
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


class Nudging:
    """Stands before the probe and puts its hook on the optimizer first."""

    def __init__(self, probe: Probe, rank: int) -> None:
        self.probe, self.rank, self.steps = probe, rank, 0

    def watch(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """Watch what is watched."""
        weight = next(p for name, p in model.named_parameters() if name.endswith("classifier.bias"))

        def nudge(*_: object) -> None:
            self.steps += 1
            if self.steps == 3 and self.rank == 1:
                with torch.no_grad():
                    weight[0] = torch.nextafter(weight[0], weight[0] + 1)

        optimizer.register_step_post_hook(nudge)
        self.probe.watch(model, optimizer, rates)

    def logged(self, loss: float | torch.Tensor) -> None:
        """Pass it on."""
        self.probe.logged(loss)

    def evaluated(self, scores: Scores) -> None:
        """Pass it on."""
        self.probe.evaluated(scores)

    def remedied(self, what: str) -> None:
        """Pass it on."""
        self.probe.remedied(what)

    def saved(self, checkpoint: Path) -> None:
        """Pass it on."""
        self.probe.saved(checkpoint)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""
    return plain.train(workload, recipe, Nudging(probe, workload.rank))
