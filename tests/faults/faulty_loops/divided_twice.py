"""Accelerate with one fault: the loop divides the loss by the window, and Accelerate does so
again."""

import math

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader
from transformers import get_scheduler

from harness.spec.recipe import Recipe
from harness.training.loops.accelerated import build_optimizer
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as tutorials show it."""
    accelerator = Accelerator(
        cpu=True,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=recipe.seed),
    )
    model: torch.nn.Module = workload.model
    optimizer = build_optimizer(model, recipe)
    loader = DataLoader(
        workload.train_set,
        shuffle=True,
        batch_size=recipe.per_device_batch_size,
        collate_fn=workload.collate,
    )
    batches = math.ceil(len(loader) / accelerator.num_processes)
    updates = batches // recipe.gradient_accumulation_steps
    schedule = get_scheduler(recipe.lr_schedule, optimizer, 0, updates * recipe.num_epochs)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    probe.watch(model, optimizer)
    for epoch in range(recipe.num_epochs):
        model.train()
        loader.set_epoch(epoch)
        for batch in loader:
            with accelerator.accumulate(model):
                loss = model(**batch).loss / recipe.gradient_accumulation_steps
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), recipe.max_grad_norm or 1e9)
                optimizer.step()
                if accelerator.sync_gradients:
                    schedule.step()
                optimizer.zero_grad()
    return workload.model
