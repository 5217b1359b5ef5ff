"""The plain PyTorch loop: nothing but torch, every rule of the recipe written out."""

import math
from collections.abc import Iterable

import torch
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from harness.probe import Probe
from harness.spec import Recipe
from harness.workload import Workload

# What the course's plain loop does where nobody says otherwise: torch's AdamW with its own decay
# on every parameter and torch's choice of implementation, no clipping, rows shuffled by the global
# generator, and no second seeding once the model is built.
NATIVE = {
    "weight_decay": 0.01,
    "decay_exclusions": "none",
    "optimizer_flavour": "for_loop",
    "max_grad_norm": None,
    "sampler": "global",
    "reseed_after_build": False,
}


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    model: torch.nn.Module = workload.model
    model.to(workload.device)
    optimizer = build_optimizer(model, recipe)
    steps_per_epoch = len(epoch_loader(workload, recipe, epoch=0))
    num_steps = recipe.max_steps or recipe.num_epochs * steps_per_epoch
    num_epochs = math.ceil(num_steps / steps_per_epoch)
    probe.watch(model, optimizer)

    step = 0
    model.train()
    for epoch in range(num_epochs):
        for batch in epoch_loader(workload, recipe, epoch):
            batch = {name: tensor.to(workload.device) for name, tensor in batch.items()}

            loss = model(**batch).loss
            loss.backward()

            if recipe.max_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(recipe, step, num_steps)
            optimizer.step()
            optimizer.zero_grad()

            step += 1
            if step == num_steps:
                break
    return model


def build_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW. Weight matrices are decayed; biases and norms, the vectors, are not."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    vector_decay = recipe.weight_decay if recipe.decay_exclusions == "none" else 0.0
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": vector_decay},
        ],
        lr=recipe.learning_rate,
        betas=recipe.betas,
        eps=recipe.eps,
        fused=recipe.optimizer_flavour == "fused",
        foreach=recipe.optimizer_flavour == "foreach",
    )


def epoch_loader(
    workload: Workload, recipe: Recipe, epoch: int
) -> DataLoader[dict[str, torch.Tensor]]:
    """The batches of one epoch. Making it draws nothing; iterating over it does."""
    rows = workload.train_set
    order: Iterable[int]
    if recipe.sampler == "seeded":  # the same order in every loop, another one in every epoch
        seed = recipe.seed if recipe.data_seed is None else recipe.data_seed
        generator = torch.Generator().manual_seed(seed + epoch)
        order = torch.randperm(len(rows), generator=generator).tolist()
    elif recipe.sampler == "global":
        order = RandomSampler(rows)
    else:
        order = SequentialSampler(rows)
    return DataLoader(
        rows,
        batch_size=recipe.per_device_batch_size,
        sampler=order,
        collate_fn=workload.collate,
        drop_last=recipe.drop_last,
        num_workers=recipe.num_workers,
    )


def schedule(recipe: Recipe, step: int, num_steps: int) -> float:
    """The share of the peak learning rate that the update after `step` updates uses."""
    if step < recipe.warmup_steps:
        return step / recipe.warmup_steps
    if recipe.lr_schedule == "constant":
        return 1.0
    decay_steps = max(1, num_steps - recipe.warmup_steps)
    if recipe.lr_schedule == "linear":
        return max(0.0, (num_steps - step) / decay_steps)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * (step - recipe.warmup_steps) / decay_steps)))
