"""A plain loop whose loss is scaled up for the backward pass: nothing wrong."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops.plain import build_optimizer, epoch_loader, schedule
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train for two epochs."""
    model: torch.nn.Module = workload.model
    optimizer = build_optimizer(model, recipe)
    scaler = torch.amp.GradScaler("cpu")
    num_steps = 2 * len(epoch_loader(workload, recipe, epoch=0))
    probe.watch(model, optimizer)
    step = 0
    model.train()
    for epoch in range(2):
        for batch in epoch_loader(workload, recipe, epoch):
            scaler.scale(model(**batch).loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(recipe, step, num_steps)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            step += 1
    return model
