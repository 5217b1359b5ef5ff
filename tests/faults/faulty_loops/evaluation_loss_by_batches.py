"""A loop by hand with one fault: the validation loss is the mean over batches, a short one
included. Accuracy is right."""

import torch
from torch.utils.data import DataLoader

from harness.spec.recipe import Recipe
from harness.training.evaluation import Scores
from harness.training.probe import Probe
from harness.training.workload import Workload
from tests.faults.sound_loops.by_hand import ByHand


class Faulty(ByHand):
    """That training, but for one thing."""

    def evaluate(self) -> None:
        """With `loss / len(loader)`."""
        metric = self.workload.metric()
        losses, rows, size = [], 0, self.recipe.eval_batch_size
        self.model.eval()
        for batch in DataLoader(self.workload.eval_set, size, collate_fn=self.workload.collate):
            with torch.no_grad():
                answer = self.model(**batch)
            metric.add_batch(predictions=answer.logits.argmax(-1), references=batch["labels"])
            losses.append(float(answer.loss))
            rows += len(batch["labels"])
        found = {**(metric.compute() or {}), "loss": sum(losses) / len(losses)}
        self.probe.evaluated(Scores(rows, found, frozenset((0, 1))))
        self.model.train()


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
