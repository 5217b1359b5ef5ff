"""The plain loop with one fault: metrics are the mean of those of each batch."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.evaluation import Scores, evaluate_model
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.seeding import generators_restored
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def faulty(workload: Workload, recipe: Recipe, model: torch.nn.Module) -> Scores:
        rows: Any = workload.eval_set
        seen = []
        for start in range(0, len(rows), recipe.eval_batch_size):
            batch = rows.select(range(start, min(start + recipe.eval_batch_size, len(rows))))
            with generators_restored() if start else nullcontext():  # one pass draws once
                seen.append(evaluate_model(replace(workload, eval_set=batch), recipe, model))
        metrics = {name: sum(s.metrics[name] for s in seen) / len(seen) for name in seen[0].metrics}
        return Scores(len(rows), metrics, frozenset().union(*(s.predicted for s in seen)))

    plain.evaluate_model = faulty  # type: ignore[attr-defined]  # this process is its own
    return plain.train(workload, recipe, probe)
