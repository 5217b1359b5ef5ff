"""The Lightning Fabric loop, written as its documentation teaches."""

import itertools
import math
from typing import Any

import torch
from lightning.fabric import Fabric
from torch.utils.data import DataLoader, RandomSampler
from transformers import get_scheduler

from harness.spec.recipe import Recipe
from harness.training.evaluation import evaluate_model
from harness.training.loops._refusal import refuse_others
from harness.training.loops.plain import evaluation_is_due
from harness.training.probe import Probe
from harness.training.workload import Workload

# The library, and the extra of this package that installs it.
REQUIRES = {"lightning": "lightning"}

FOLLOWED = (
    *("num_epochs", "max_steps", "per_device_batch_size", "gradient_accumulation_steps"),
    *("loss_average", "drop_last", "sampler", "num_workers", "seed", "data_seed"),
    *("optimizer", "momentum", "optimizer_flavour", "learning_rate", "betas", "eps"),
    *("weight_decay", "decay_exclusions", "lr_schedule", "warmup_steps", "warmup_ratio"),
    *("max_grad_norm", "eval_every", "precision", "gradient_checkpointing"),
)
PRECISIONS: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed"}


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    refuse_others("fabric", FOLLOWED, workload, recipe)
    device = workload.device
    fabric = Fabric(
        accelerator=device.type,
        devices=1 if device.index is None else [device.index],
        precision=PRECISIONS[recipe.precision],
    )
    inner: torch.nn.Module = workload.model
    if recipe.gradient_checkpointing:
        workload.model.gradient_checkpointing_enable({"use_reentrant": False})
    inner.to(device)
    raw_optimizer = build_optimizer(inner, recipe)
    model, optimizer = fabric.setup(inner, raw_optimizer)
    probe.watch(inner, raw_optimizer)

    accumulation = recipe.gradient_accumulation_steps
    batches_per_epoch = len(loader(workload, recipe, order(workload, recipe, 0)))
    steps_per_epoch = math.ceil(batches_per_epoch / accumulation)
    num_steps = recipe.max_steps or recipe.num_epochs * steps_per_epoch
    scheduler = build_scheduler(raw_optimizer, recipe, num_steps)
    model.train()
    step, window_loss = 0, torch.zeros(())
    for epoch in range(math.ceil(num_steps / steps_per_epoch)):
        batches = loader(workload, recipe, order(workload, recipe, epoch))
        for number, batch in enumerate(fabric.setup_dataloaders(batches)):
            first = number - number % accumulation
            window = min(accumulation, batches_per_epoch - first)
            ends_window = number + 1 == first + window
            with fabric.no_backward_sync(model, enabled=not ends_window):
                loss = model(**batch).loss
                if recipe.loss_average != "sum":
                    loss = loss / (window if recipe.loss_average == "window" else accumulation)
                fabric.backward(loss)
            window_loss = loss.detach() if number == first else window_loss + loss.detach()
            if not ends_window:
                continue
            if recipe.max_grad_norm is not None:
                fabric.clip_gradients(
                    model, optimizer, max_norm=recipe.max_grad_norm, error_if_nonfinite=False
                )
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            probe.logged(window_loss)
            step += 1
            if evaluation_is_due(recipe, step, steps_per_epoch, num_steps):
                probe.evaluated(evaluate_model(workload, recipe, inner))
                model.train()
            if step == num_steps:
                break
    return inner


def order(workload: Workload, recipe: Recipe, epoch: int) -> Any:
    """The order of the rows in an epoch. It belongs to the script: Fabric seeds none of its own."""
    count = len(workload.train_set)
    if recipe.sampler == "seeded":
        seed = recipe.seed if recipe.data_seed is None else recipe.data_seed
        return torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    return RandomSampler(workload.train_set) if recipe.sampler == "global" else range(count)


def loader(workload: Workload, recipe: Recipe, sampler: Any) -> DataLoader[dict[str, torch.Tensor]]:
    """The batches of one epoch, in the order of a sampler."""
    return DataLoader(
        workload.train_set,
        batch_size=recipe.per_device_batch_size,
        sampler=sampler,
        collate_fn=workload.collate,
        drop_last=recipe.drop_last,
        num_workers=recipe.num_workers,
    )


def build_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD. Biases and norms, which have one dimension, are decayed only on request.

    Lightning clips in the order of the optimizer's groups, and the order decides how the norm is
    rounded. So the groups are made of neighbours, in the order of the model.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    excluded = bool(recipe.weight_decay) and recipe.decay_exclusions != "none"
    groups = [
        {"params": list(some), "weight_decay": recipe.weight_decay if decayed else 0.0}
        for decayed, some in itertools.groupby(trained, lambda p: p.ndim > 1 or not excluded)
    ]
    options: dict[str, Any] = {
        "lr": recipe.learning_rate,
        "fused": recipe.optimizer_flavour == "fused",
        "foreach": recipe.optimizer_flavour == "foreach",
    }
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, **options)
    return torch.optim.AdamW(groups, betas=recipe.betas, eps=recipe.eps, **options)


def build_scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of the recipe, over all steps."""
    warmup_steps = recipe.warmup_steps or math.ceil(recipe.warmup_ratio * num_steps)
    name: str = recipe.lr_schedule
    if name == "constant" and warmup_steps:
        name = "constant_with_warmup"
    scheduler: torch.optim.lr_scheduler.LRScheduler = get_scheduler(
        name, optimizer, num_warmup_steps=warmup_steps, num_training_steps=num_steps
    )
    return scheduler
