"""The plain PyTorch loop: nothing but torch, every rule of the recipe written out."""

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, RandomSampler

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.evaluation import evaluate_model
from harness.training.probe import Probe
from harness.training.seeding import GeneratorStates, generator_states, set_generator_states
from harness.training.workload import Workload, autocast

Batch = dict[str, Tensor]

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
# With several processes it takes torch's DistributedSampler, which draws from a generator of its
# own, seeded with 0 + epoch.
NATIVE_DISTRIBUTED = {"sampler": "seeded", "data_seed": 0, "sharding": "strided"}


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    model: torch.nn.Module = workload.model
    model.to(workload.device)
    if recipe.gradient_checkpointing:
        workload.model.gradient_checkpointing_enable({"use_reentrant": False})
    called: Any = model  # and what else stands around it in training
    ddp = None
    if workload.world_size > 1 and recipe.parallel == "fsdp2":
        fully_shard(model, mesh=init_device_mesh(workload.device.type, (workload.world_size,)))
    elif workload.world_size > 1:
        called = ddp = DistributedDataParallel(model)
    if recipe.compile:
        called = torch.compile(called, backend=recipe.compile)
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
    probe.watch(called, optimizer, rates)

    model.train()
    for epoch in range(step // steps_per_epoch, num_epochs):
        updates = windows(epoch_loader(workload, recipe, epoch), recipe)
        epoch_start = generator_states()
        if saved:
            epoch_start = return_to(saved, updates, step % steps_per_epoch)
            saved = None
        for window in updates:
            num_labels = count_labels(window, workload) if recipe.loss_average == "model" else 0
            shown: Any = 0.0
            for number, batch in enumerate(window, start=1):
                batch = {name: tensor.to(workload.device) for name, tensor in batch.items()}
                # Several processes average their gradients once an update, in its last backward.
                with ddp.no_sync() if ddp and number < len(window) else contextlib.nullcontext():
                    with autocast(workload, recipe):
                        loss = forward(called, batch, workload, recipe, num_labels)
                    if recipe.loss_average == "window":
                        loss = loss / len(window)
                    elif recipe.loss_average == "configured":
                        loss = loss / recipe.gradient_accumulation_steps
                    elif recipe.loss_average == "model":  # a sum, which they are not to average
                        loss = loss * workload.world_size
                    scaler.scale(loss).backward()
                shown += loss.detach()

            if recipe.max_grad_norm is not None:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = rates[step - skipped]
            scale_before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            if scaler.get_scale() < scale_before and recipe.optimizer_flavour != "fused":
                # Gradients overflowed, and the schedule waits. A fused optimizer leaves the update
                # out by itself: Accelerate does not notice that, nor does the schedule here.
                skipped += 1
            optimizer.zero_grad()
            probe.logged(shown)

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


def save_checkpoint(
    workload: Workload,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    progress: dict[str, Any],
) -> Path:
    """Write all that the next step depends on.

    `progress`: the step, which is all that the schedule needs; and where the generators stood at
    the start of this epoch, from which its order was drawn.
    """
    folder = workload.output_dir / f"checkpoint-{progress['step']}"
    folder.mkdir(exist_ok=True)
    if workload.rank == 0:  # all processes hold the same
        shared = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict(),
        }
        torch.save(shared, folder / "shared.pt")
    own = {**progress, "generators": generator_states()}  # from which dropout goes on
    torch.save(own, folder / f"rank-{workload.rank}.pt")
    return folder


def load_checkpoint(
    workload: Workload,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> dict[str, Any] | None:
    """Put weights and optimizer back; None where the run begins at its beginning."""
    if workload.resume_from is None:
        return None
    shared = torch.load(workload.resume_from / "shared.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(shared["model"])
    optimizer.load_state_dict(shared["optimizer"])
    scaler.load_state_dict(shared["scaler"])
    own: dict[str, Any] = torch.load(
        workload.resume_from / f"rank-{workload.rank}.pt", weights_only=True
    )
    return own


def return_to(
    saved: dict[str, Any], updates: Iterator[list[Batch]], updates_done: int
) -> GeneratorStates:
    """Go to the checkpoint's place in its epoch; return the generators at the epoch's start.

    The generators go back twice. First to the epoch's start, so that its order is drawn again as it
    was, and with it whatever the collator drew for the batches passed over. Then to where the
    checkpoint found them, for the dropout to come. At an epoch's end nothing is passed over, and
    they must be back before the new epoch's iterator draws its first number.
    """
    epoch_start: GeneratorStates = saved["epoch_start" if updates_done else "generators"]
    set_generator_states(epoch_start)
    for _ in itertools.islice(updates, updates_done):
        pass
    set_generator_states(saved["generators"])
    return epoch_start


def evaluation_is_due(recipe: Recipe, step: int, steps_per_epoch: int, num_steps: int) -> bool:
    """After every so many steps, or at the end of each epoch, be it cut short."""
    if recipe.eval_every == "epoch":
        return step % steps_per_epoch == 0 or step == num_steps
    return recipe.eval_every is not None and step % recipe.eval_every == 0


def forward(
    model: torch.nn.Module, batch: Batch, workload: Workload, recipe: Recipe, num_labels: int
) -> Tensor:
    """The loss of one micro-batch: the model's own, or smoothed over the classes."""
    if recipe.loss_average == "model":
        batch = {**batch, "num_items_in_batch": torch.tensor(num_labels)}
    if not recipe.label_smoothing:
        loss: Tensor = model(**batch).loss
        return loss
    labels = batch.pop("labels")
    logits = model(**batch).logits.float()  # also under autocast a loss is taken in fp32
    costs = -torch.nn.functional.log_softmax(logits, dim=-1)
    if workload.shifts_labels:  # each token answers for the next one
        costs, labels = costs[..., :-1, :], labels[..., 1:]
    counted = labels != -100
    target = costs.gather(dim=-1, index=labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    hard = (target * counted).sum() / counted.sum()
    every = costs.sum(dim=-1, dtype=torch.float32)
    soft = (every * counted).sum() / (counted.sum() * costs.shape[-1])
    return (1 - recipe.label_smoothing) * hard + recipe.label_smoothing * soft


def count_labels(window: list[Batch], workload: Workload) -> int:
    """Labels of one update that count, in all processes; -100 marks those that do not."""
    count = torch.tensor(sum(int((batch["labels"] != -100).sum()) for batch in window))
    if workload.world_size > 1:
        count = count.to(workload.device)
        torch.distributed.all_reduce(count)
    return int(count)


def windows(loader: Iterable[Batch], recipe: Recipe) -> Iterator[list[Batch]]:
    """The micro-batches of one update at a time; an epoch's last window may be shorter."""
    window: list[Batch] = []
    for batch in loader:
        window.append(batch)
        if len(window) == recipe.gradient_accumulation_steps:
            yield window
            window = []
    if window:
        yield window


def build_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The update rule. Weight matrices are decayed; biases and norms, the vectors, are not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    vector_decay = recipe.weight_decay if recipe.decay_exclusions == "none" else 0.0
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": vector_decay},
    ]
    fused, foreach = recipe.optimizer_flavour == "fused", recipe.optimizer_flavour == "foreach"
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            fused=fused,
            foreach=foreach,
        )
    return torch.optim.AdamW(
        groups,
        lr=recipe.learning_rate,
        betas=recipe.betas,
        eps=recipe.eps,
        fused=fused,
        foreach=foreach,
    )


def epoch_loader(workload: Workload, recipe: Recipe, epoch: int) -> DataLoader[Batch]:
    """The batches of one epoch. Making it draws nothing; iterating over it does."""
    rows = workload.train_set
    order: Iterable[int]
    if recipe.sampler == "seeded":  # the same order in every loop, another one in every epoch
        seed = recipe.seed if recipe.data_seed is None else recipe.data_seed
        generator = torch.Generator().manual_seed(seed + epoch)
        order = torch.randperm(len(rows), generator=generator).tolist()
    elif recipe.sampler == "global":
        order = RandomSampler(rows)
    elif recipe.sampler == "length_grouped":
        order = LengthGrouped(rows["input_ids"], recipe)
    else:
        order = range(len(rows))
    if workload.world_size > 1:
        if recipe.sampler == "global":
            raise SpecError(
                "sampler=global draws another order in each process, once their dropout has drawn",
                f"{workload.world_size} processes",
                "take seeded",
            )
        order = share(list(order), recipe, workload.rank, workload.world_size)
    return DataLoader(
        rows,
        batch_size=recipe.per_device_batch_size,
        sampler=order,
        collate_fn=workload.collate,
        drop_last=recipe.drop_last,
        num_workers=recipe.num_workers,
    )


def share(order: list[int], recipe: Recipe, rank: int, world_size: int) -> list[int]:
    """The rows of one process, as many for each; rows of the beginning fill up what is missing."""
    size = recipe.per_device_batch_size
    whole = world_size if recipe.sharding == "strided" else world_size * size
    count = len(order) // whole if recipe.drop_last else math.ceil(len(order) / whole)
    order = list(itertools.islice(itertools.cycle(order), count * whole))
    if recipe.sharding == "strided":
        return order[rank::world_size]
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return list(itertools.chain.from_iterable(batches[rank::world_size]))


class LengthGrouped:
    """Shuffles, then sorts by length within stretches of many batches; the longest row is first."""

    def __init__(self, rows: Iterable[Tensor], recipe: Recipe) -> None:
        self.lengths = [len(row) for row in rows]
        batch = recipe.per_device_batch_size * recipe.gradient_accumulation_steps
        self.stretch = batch * max(1, min(len(self.lengths) // (batch * 4), 50))

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        shuffled = torch.randperm(len(self.lengths)).tolist()
        stretches = [
            sorted(
                shuffled[start : start + self.stretch], key=self.lengths.__getitem__, reverse=True
            )
            for start in range(0, len(shuffled), self.stretch)
        ]
        longest = max(range(len(stretches)), key=lambda i: self.lengths[stretches[i][0]])
        stretches[0][0], stretches[longest][0] = stretches[longest][0], stretches[0][0]
        return (row for stretch in stretches for row in stretch)


def schedule(recipe: Recipe, step: int, num_steps: int) -> float:
    """The share of the peak learning rate that the update after `step` updates uses."""
    warmup_steps = recipe.warmup_steps or math.ceil(recipe.warmup_ratio * num_steps)
    if step < warmup_steps:
        return step / warmup_steps
    if recipe.lr_schedule == "constant":
        return 1.0
    decay_steps = max(1, num_steps - warmup_steps)
    if recipe.lr_schedule == "linear":
        return max(0.0, (num_steps - step) / decay_steps)
    progress = (step - warmup_steps) / decay_steps
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
