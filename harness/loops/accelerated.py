"""The Accelerate loop, in the manner of its documentation and of the course."""

import math

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader
from transformers import get_scheduler

from harness.probe import Probe
from harness.spec import Recipe
from harness.workload import Workload

# What the course's Accelerate loop does where nobody says otherwise: as the plain loop, with the
# smaller learning rate that the course's text gives it.
NATIVE = {
    "learning_rate": 3e-5,
    "weight_decay": 0.01,
    "decay_exclusions": "none",
    "optimizer_flavour": "for_loop",
    "max_grad_norm": None,
    "sampler": "global",
    "reseed_after_build": False,
}


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    accelerator = Accelerator(
        cpu=workload.device.type == "cpu",
        dataloader_config=DataLoaderConfiguration(
            use_seedable_sampler=recipe.sampler == "seeded",
            data_seed=recipe.seed if recipe.data_seed is None else recipe.data_seed,
        ),
    )
    train_loader = DataLoader(
        workload.train_set,
        shuffle=recipe.sampler != "sequential",
        batch_size=recipe.per_device_batch_size,
        collate_fn=workload.collate,
        drop_last=recipe.drop_last,
        num_workers=recipe.num_workers,
    )
    model: torch.nn.Module = workload.model
    optimizer = torch.optim.AdamW(
        parameter_groups(model, recipe),
        lr=recipe.learning_rate,
        betas=recipe.betas,
        eps=recipe.eps,
        fused=recipe.optimizer_flavour == "fused",
        foreach=recipe.optimizer_flavour == "foreach",
    )
    train_loader, model, optimizer = accelerator.prepare(train_loader, model, optimizer)

    num_steps = recipe.max_steps or recipe.num_epochs * len(train_loader)
    num_epochs = math.ceil(num_steps / len(train_loader))
    lr_scheduler = get_scheduler(
        recipe.lr_schedule,
        optimizer=optimizer,
        num_warmup_steps=recipe.warmup_steps,
        num_training_steps=num_steps,
    )
    probe.watch(model, optimizer)

    step = 0
    model.train()
    for epoch in range(num_epochs):
        train_loader.set_epoch(epoch)
        for batch in train_loader:
            outputs = model(**batch)
            loss = outputs.loss
            accelerator.backward(loss)

            if recipe.max_grad_norm is not None:
                accelerator.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            optimizer.step()
            lr_scheduler.step()
            optimizer.zero_grad()

            step += 1
            if step == num_steps:
                break
    return workload.model


def parameter_groups(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Decayed and undecayed parameters, told apart by their names as Hugging Face's scripts do."""
    undecayed = () if recipe.decay_exclusions == "none" else ("bias", "LayerNorm.weight")
    groups: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[not any(part in name for part in undecayed)].append(parameter)
    return [
        {"params": groups[True], "weight_decay": recipe.weight_decay},
        {"params": groups[False], "weight_decay": 0.0},
    ]
