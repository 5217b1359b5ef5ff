"""The plain loop with one fault: the evaluation set is filled up to a multiple of the processes."""

from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DistributedSampler

from harness.spec.recipe import Recipe
from harness.training.evaluation import Scores, evaluate_model
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does but for that."""

    def faulty(workload: Workload, recipe: Recipe, model: torch.nn.Module) -> Scores:
        rows: Any = workload.eval_set
        sampler: Any = DistributedSampler(rows, workload.world_size, workload.rank, shuffle=False)
        short = sampler.total_size - len(rows)
        filled = rows.select([*range(len(rows)), *range(short)])
        return evaluate_model(replace(workload, eval_set=filled), recipe, model)

    plain.evaluate_model = faulty  # type: ignore[attr-defined]  # this process is its own
    return plain.train(workload, recipe, probe)
