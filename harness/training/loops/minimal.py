"""The minimal loop: a whole training loop in one page of PyTorch, to read, copy and change."""

import itertools
import math

import torch
from torch.utils.data import DataLoader

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload

# Fields of the recipe that may differ from their defaults. Those in the second and third line
# need no code: the harness applies them.
FOLLOWED = (
    *("num_epochs", "max_steps", "per_device_batch_size", "gradient_accumulation_steps"),
    *("reseed_after_build", "frozen", "attention", "num_threads", "eval_batch_size"),
    *("padding", "max_length", "extra_padding", "random_numbers"),
    *("seed", "learning_rate", "max_grad_norm"),
)


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it; the probe only watches."""
    refuse_what_is_not_followed(workload, recipe)
    rows, size = workload.train_set, recipe.per_device_batch_size
    steps_per_epoch = math.ceil(math.ceil(len(rows) / size) / recipe.gradient_accumulation_steps)
    num_steps = recipe.max_steps or recipe.num_epochs * steps_per_epoch
    # The learning rate falls linearly from its peak; after the last step it would be 0.
    rates = [recipe.learning_rate * ((num_steps - step) / num_steps) for step in range(num_steps)]

    model: torch.nn.Module = workload.model
    model.to(workload.device)
    optimizer = torch.optim.AdamW(model.parameters(), rates[0], weight_decay=0.0, fused=True)
    probe.watch(model, optimizer, rates=rates)
    model.train()
    step = 0
    for epoch in range(math.ceil(num_steps / steps_per_epoch)):
        generator = torch.Generator().manual_seed(recipe.seed + epoch)  # a new order every epoch
        order = torch.randperm(len(rows), generator=generator).tolist()
        batches = iter(DataLoader(rows, size, sampler=order, collate_fn=workload.collate))
        # Each window of batches makes one update; the last window of an epoch may be shorter.
        while window := list(itertools.islice(batches, recipe.gradient_accumulation_steps)):
            losses = []
            for batch in window:
                inputs = {name: tensor.to(workload.device) for name, tensor in batch.items()}
                loss = model(**inputs).loss / len(window)
                loss.backward()
                losses.append(loss.detach())
            if recipe.max_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
            optimizer.step()
            optimizer.zero_grad()
            probe.logged(sum(losses))
            step += 1
            if step == num_steps:
                return model
    return model


def refuse_what_is_not_followed(workload: Workload, recipe: Recipe) -> None:
    """Raise `SpecError` for the first setting that this loop does not follow."""
    settings = {**dict(recipe), "processes": workload.world_size, "resume": workload.resume_from}
    for name, default in {**dict(Recipe()), "processes": 1, "resume": None}.items():
        if name not in FOLLOWED and settings[name] != default:
            rule = f"the minimal loop requires {name}={default}"
            raise SpecError(rule, settings[name], "change it, or use the plain loop")
