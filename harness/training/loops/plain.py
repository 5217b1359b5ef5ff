"""The plain PyTorch loop: torch alone, with every rule of the recipe written out.

It is the reference that the other loops are compared with. The rules are in `_plain/`, one idea per
file.
"""

import contextlib
import math
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from harness.spec.recipe import Recipe
from harness.training.evaluation import evaluate_model
from harness.training.loops._plain.batches import Batch, epoch_loader, windows
from harness.training.loops._plain.checkpoint import load_checkpoint, return_to, save_checkpoint
from harness.training.loops._plain.loss import count_labels, forward
from harness.training.loops._plain.optimizer import build_optimizer
from harness.training.loops._plain.schedule import schedule
from harness.training.probe import Probe
from harness.training.seeding import generator_states
from harness.training.workload import Workload, autocast

# `train` calls each rule by its name in this module, so a caller can replace one of them here.
__all__ = [
    "Batch",
    "build_optimizer",
    "count_labels",
    "epoch_loader",
    "evaluation_is_due",
    "forward",
    "load_checkpoint",
    "return_to",
    "save_checkpoint",
    "schedule",
    "train",
    "windows",
]

# The conventions of the course's plain loop: torch's AdamW with its default decay on every
# parameter, torch's choice of implementation, no clipping, rows shuffled by the global generator,
# and no second seeding after the model is built.
NATIVE = {
    "weight_decay": 0.01,
    "decay_exclusions": "none",
    "optimizer_flavour": "for_loop",
    "max_grad_norm": None,
    "sampler": "global",
    "reseed_after_build": False,
}
# With several processes the course's loop takes torch's DistributedSampler, whose generator is
# seeded with 0 + epoch.
NATIVE_DISTRIBUTED = {"sampler": "seeded", "data_seed": 0, "sharding": "strided"}


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    model: torch.nn.Module = workload.model
    model.to(workload.device)
    if recipe.gradient_checkpointing:
        workload.model.gradient_checkpointing_enable({"use_reentrant": False})
    wrapped: Any = model  # the module that the forward pass calls
    ddp = None
    if workload.world_size > 1 and recipe.parallel == "fsdp2":
        fully_shard(model, mesh=init_device_mesh(workload.device.type, (workload.world_size,)))
    elif workload.world_size > 1:
        wrapped = ddp = DistributedDataParallel(model)
    if recipe.compile:
        wrapped = torch.compile(wrapped, backend=recipe.compile)
    scaler = torch.amp.GradScaler(workload.device.type, enabled=recipe.precision == "fp16")
    optimizer = build_optimizer(model, recipe)
    batches_per_epoch = len(epoch_loader(workload, recipe, epoch=0))
    steps_per_epoch = math.ceil(batches_per_epoch / recipe.gradient_accumulation_steps)
    num_steps = recipe.max_steps or recipe.num_epochs * steps_per_epoch
    num_epochs = math.ceil(num_steps / steps_per_epoch)
    stride = workload.world_size if recipe.schedule_per_process else 1
    rates = [
        recipe.learning_rate * schedule(recipe, step * stride, num_steps)
        for step in range(num_steps)
    ]
    saved = load_checkpoint(workload, model, optimizer, scaler)
    step, skipped = (saved["step"], saved["skipped"]) if saved else (0, 0)
    probe.watch(wrapped, optimizer, rates=rates)

    model.train()
    for epoch in range(step // steps_per_epoch, num_epochs):
        updates = windows(epoch_loader(workload, recipe, epoch), recipe)
        epoch_start = generator_states()
        if saved:
            epoch_start = return_to(saved, updates, step % steps_per_epoch)
            saved = None
        for window in updates:
            num_labels = count_labels(window, workload) if recipe.loss_average == "model" else 0
            window_loss: Any = 0.0
            for number, batch in enumerate(window, start=1):
                batch = {name: tensor.to(workload.device) for name, tensor in batch.items()}
                # Processes average their gradients once per update, in its last backward pass.
                with ddp.no_sync() if ddp and number < len(window) else contextlib.nullcontext():
                    with autocast(workload, recipe):
                        loss = forward(wrapped, batch, workload, recipe, num_labels)
                    if recipe.loss_average == "window":
                        loss = loss / len(window)
                    elif recipe.loss_average == "configured":
                        loss = loss / recipe.gradient_accumulation_steps
                    elif recipe.loss_average == "model":  # a sum: undo the mean over processes
                        loss = loss * workload.world_size
                    scaler.scale(loss).backward()
                window_loss += loss.detach()

            if recipe.max_grad_norm is not None:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = rates[step - skipped]
            scale_before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            if scaler.get_scale() < scale_before and recipe.optimizer_flavour != "fused":
                # Gradients overflowed, so the schedule waits. A fused optimizer skips the update
                # itself; Accelerate does not notice that, and the schedule here does not wait.
                skipped += 1
            optimizer.zero_grad()
            probe.logged(window_loss)

            step += 1
            if evaluation_is_due(recipe, step, steps_per_epoch, num_steps):
                probe.evaluated(evaluate_model(workload, recipe, model))
                model.train()
            if recipe.save_every and step % recipe.save_every == 0:
                progress = {"step": step, "skipped": skipped, "epoch_start": epoch_start}
                probe.saved(save_checkpoint(workload, model, optimizer, scaler, progress))
            if step == num_steps:
                break
    return model


def evaluation_is_due(recipe: Recipe, step: int, steps_per_epoch: int, num_steps: int) -> bool:
    """Whether the model is evaluated after `step`, which counts updates from 1.

    `eval_every="epoch"` evaluates at the end of each epoch, also of an epoch that `max_steps` cuts
    short.
    """
    if recipe.eval_every == "epoch":
        return step % steps_per_epoch == 0 or step == num_steps
    return recipe.eval_every is not None and step % recipe.eval_every == 0
