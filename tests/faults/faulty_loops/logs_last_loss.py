"""A plain loop with one fault: it shows its user the loss of the last micro-batch alone, divided as
for the backward pass. It trains right."""

import math

import torch

from harness.spec.recipe import Recipe
from harness.training.loops.plain import build_optimizer, epoch_loader, schedule, windows
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train by the recipe, for two epochs."""
    model: torch.nn.Module = workload.model
    optimizer = build_optimizer(model, recipe)
    k = recipe.gradient_accumulation_steps
    num_steps = 2 * math.ceil(len(epoch_loader(workload, recipe, epoch=0)) / k)
    probe.watch(model, optimizer)
    step = 0
    model.train()
    for epoch in range(2):
        for window in windows(epoch_loader(workload, recipe, epoch), recipe):
            for batch in window:
                loss = model(**batch).loss / len(window)
                loss.backward()

            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm or math.inf)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(recipe, step, num_steps)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            probe.logged(loss)
    return model
