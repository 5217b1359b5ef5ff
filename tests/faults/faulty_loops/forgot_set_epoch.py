"""A loop on several processes with one fault: nobody calls `set_epoch` on its sampler."""

from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

from harness.spec.recipe import Recipe
from harness.training.loops.plain import build_optimizer, schedule
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train on several processes, for two epochs."""
    model = DistributedDataParallel(workload.model)
    optimizer = build_optimizer(model, recipe)
    rows: Any = workload.train_set
    sampler: Any = DistributedSampler(rows, seed=recipe.seed)
    loader = DataLoader(
        rows, recipe.per_device_batch_size, sampler=sampler, collate_fn=workload.collate
    )
    num_steps = 2 * len(loader)
    probe.watch(model, optimizer)
    step = 0
    model.train()
    for _ in range(2):
        for batch in loader:
            model(**batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(recipe, step, num_steps)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    return workload.model
