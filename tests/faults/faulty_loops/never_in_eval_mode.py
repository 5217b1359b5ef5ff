"""A loop by hand with one fault: it scores the model with its dropout on."""

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
        """Without `eval()`."""
        metric = self.workload.metric()
        loss, rows, size = 0.0, 0, self.recipe.eval_batch_size
        for batch in DataLoader(self.workload.eval_set, size, collate_fn=self.workload.collate):
            with torch.no_grad():
                answer = self.model(**batch)
            metric.add_batch(predictions=answer.logits.argmax(-1), references=batch["labels"])
            loss += float(answer.loss) * len(batch["labels"])
            rows += len(batch["labels"])
        found = {**(metric.compute() or {}), "loss": loss / rows}
        self.probe.evaluated(Scores(rows, found, frozenset((0, 1))))


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop by hand does but for that."""
    return Faulty(workload, recipe, probe).run()
