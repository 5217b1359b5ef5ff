"""The course's training written without the harness, as a reference for the cost of the harness.

It takes model and rows from the workload, and from the recipe only the seed and the number of
steps. It is valid for the default recipe only. One line is for the harness: the call that lets a
bench count its steps.
"""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader
from transformers import get_scheduler

from harness.benchmark.arms import STEPS_AHEAD
from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model and return it."""
    model, rows = workload.model, workload.train_set
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed}, {"params": others}], lr=5e-5, weight_decay=0.0, fused=True
    )
    num_steps = recipe.max_steps or STEPS_AHEAD
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=num_steps)
    probe.watch(model, optimizer)

    model.train()
    step = epoch = 0
    while step < num_steps:
        generator = torch.Generator().manual_seed(recipe.seed + epoch)
        order = torch.randperm(len(rows), generator=generator).tolist()
        for batch in DataLoader(rows, batch_size=8, sampler=order, collate_fn=workload.collate):
            loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            step += 1
            if step == num_steps:
                break
        epoch += 1
    return model  # type: ignore[no-any-return]  # an nn.Module
