"""Accelerate as its documentation shows it, with an unprepared scheduler, which is correct."""

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader
from transformers import get_scheduler

from harness.spec.recipe import Recipe
from harness.training.loops.plain import build_optimizer
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train by the recipe."""
    accelerator = Accelerator(
        cpu=True,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=recipe.seed),
    )
    loader = DataLoader(
        workload.train_set,
        batch_size=recipe.per_device_batch_size,
        shuffle=True,
        collate_fn=workload.collate,
    )
    model: torch.nn.Module = workload.model
    optimizer = build_optimizer(model, recipe)
    loader, model, optimizer = accelerator.prepare(loader, model, optimizer)
    num_steps = recipe.num_epochs * len(loader) // recipe.gradient_accumulation_steps
    scheduler = get_scheduler(recipe.lr_schedule, optimizer, 0, num_steps)
    probe.watch(model, optimizer)
    model.train()
    for epoch in range(recipe.num_epochs):
        loader.set_epoch(epoch)
        for batch in loader:
            with accelerator.accumulate(model):
                accelerator.backward(model(**batch).loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
                optimizer.step()
                if accelerator.sync_gradients:
                    scheduler.step()
                optimizer.zero_grad()
    return workload.model  # type: ignore[no-any-return]  # an nn.Module
