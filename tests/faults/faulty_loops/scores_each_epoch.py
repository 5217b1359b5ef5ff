"""A loop by hand with one fault: unasked, it computes the validation loss after each epoch."""

import torch
from torch.utils.data import DataLoader

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def begins_epoch(self, epoch: int) -> None:
        """After a look at how the last one went."""
        if not epoch:
            return
        self.model.eval()
        with torch.inference_mode():
            for batch in DataLoader(
                self.workload.eval_set, batch_size=4, collate_fn=self.workload.collate
            ):
                self.model(**batch)
        self.model.train()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
