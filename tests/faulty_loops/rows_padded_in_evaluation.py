"""The plain loop with one fault: the evaluation set is filled up to a multiple of the processes."""

from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DistributedSampler

from harness.loops import plain
from harness.probe import Probe
from harness.spec import Recipe
from harness.workload import Scores, Workload, evaluate_model


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
