"""A plain loop with one fault: at step 3 the loss is not a number, and the log shows the last good
one instead, as `logging_nan_inf_filter` does."""

import torch

from harness.spec.recipe import Recipe
from harness.training.loops.plain import build_optimizer, epoch_loader, schedule
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train for two epochs."""
    model: torch.nn.Module = workload.model
    optimizer = build_optimizer(model, recipe)
    num_steps = 2 * len(epoch_loader(workload, recipe, epoch=0))
    probe.watch(model, optimizer)
    step, shown = 0, 0.0
    model.train()
    for epoch in range(2):
        for batch in epoch_loader(workload, recipe, epoch):
            loss = model(**batch).loss
            if step == 2:
                loss = loss * torch.zeros(1).log().sub(torch.zeros(1).log()).squeeze()  # inf - inf
            loss.backward()
            shown = loss.item() if loss.isfinite() else shown

            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(recipe, step, num_steps)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            probe.logged(shown)
    return model
