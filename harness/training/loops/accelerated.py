"""The Accelerate loop, written as its documentation and the course teach."""

import math
from typing import Any

import torch
from accelerate import Accelerator, skip_first_batches
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader
from transformers import get_scheduler
from transformers.trainer_pt_utils import LabelSmoother, LengthGroupedSampler

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.evaluation import evaluate_model
from harness.training.probe import Probe
from harness.training.seeding import generator_states, set_generator_states
from harness.training.workload import Workload

# The conventions of the course's Accelerate loop: those of its plain loop, with the smaller
# learning rate of its text. Accelerate divides every loss by the configured number of
# micro-batches, also if an epoch's last window holds fewer.
NATIVE = {
    "learning_rate": 3e-5,
    "loss_average": "configured",
    "weight_decay": 0.01,
    "decay_exclusions": "none",
    "optimizer_flavour": "for_loop",
    "max_grad_norm": None,
    "sampler": "global",
    "reseed_after_build": False,
}
# Accelerate's documentation prepares the scheduler, which then steps once for each process.
NATIVE_DISTRIBUTED = {"schedule_per_process": True}


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    if recipe.loss_average not in ("window", "configured"):
        raise SpecError(
            "Accelerate always divides the loss by the micro-batches of a window",
            f"loss_average={recipe.loss_average}",
            "set loss_average to window or configured",
        )
    if workload.world_size > 1 and recipe.sharding != "dealt":
        raise SpecError(
            "Accelerate deals whole batches to the processes",
            f"sharding={recipe.sharding}",
            "set sharding to dealt",
        )
    if recipe.parallel != "ddp":
        raise SpecError(
            "the Accelerate loop does not shard the model",
            f"parallel={recipe.parallel}",
            "set parallel to ddp",
        )
    accumulation = recipe.gradient_accumulation_steps
    accelerator = Accelerator(
        cpu=workload.device.type == "cpu",
        mixed_precision="no" if recipe.precision == "fp32" else recipe.precision,
        dynamo_backend=recipe.compile or "no",
        gradient_accumulation_steps=accumulation,
        dataloader_config=DataLoaderConfiguration(
            use_seedable_sampler=recipe.sampler == "seeded",
            data_seed=recipe.seed if recipe.data_seed is None else recipe.data_seed,
        ),
    )
    train_loader = build_loader(workload, recipe)
    model: torch.nn.Module = workload.model
    if recipe.gradient_checkpointing:
        workload.model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = build_optimizer(model, recipe)
    train_loader, model, optimizer = accelerator.prepare(train_loader, model, optimizer)

    steps_per_epoch = math.ceil(len(train_loader) / accumulation)
    num_steps = recipe.max_steps or recipe.num_epochs * steps_per_epoch
    num_epochs = math.ceil(num_steps / steps_per_epoch)
    warmup_steps = recipe.warmup_steps or math.ceil(recipe.warmup_ratio * num_steps)
    name = recipe.lr_schedule
    lr_scheduler = get_scheduler(
        "constant_with_warmup" if name == "constant" and warmup_steps else name,
        optimizer=optimizer,
        num_warmup_steps=warmup_steps,
        num_training_steps=num_steps,
    )
    if recipe.schedule_per_process:
        lr_scheduler = accelerator.prepare(lr_scheduler)
    smooth = LabelSmoother(epsilon=recipe.label_smoothing)
    probe.watch(model, optimizer)
    if recipe.loss_average == "window" and len(train_loader) % accumulation:
        probe.remedied(
            "accelerator.gradient_accumulation_steps is set to the true length of an epoch's last, "
            "shorter window while backward divides by it"
        )

    rest = f"rest-{workload.rank}.pt"  # further state of each process
    step, resumed = 0, None
    if workload.resume_from is not None:
        accelerator.load_state(str(workload.resume_from))  # weights, optimizer, generators
        resumed = torch.load(workload.resume_from / rest, weights_only=True)
        lr_scheduler.load_state_dict(resumed["lr_scheduler"])
        step = resumed["step"]
    model.train()
    window_loss: Any = 0.0
    for epoch in range(step // steps_per_epoch, num_epochs):
        batches, done = train_loader, 0
        epoch_start = generator_states()
        if resumed and step % steps_per_epoch:
            # Within an epoch, the loader must draw its order from the generator states at the
            # epoch's start. Dropout continues from the saved states. Fetching draws once more, so
            # those are restored after the first fetch below. At an epoch's end `load_state` has
            # restored the right states already.
            done = step % steps_per_epoch * accumulation
            batches = skip_first_batches(train_loader, done)
            generators, epoch_start = epoch_start, resumed["epoch_start"]
            set_generator_states(epoch_start)
        batches.set_epoch(epoch)  # on the iterated loader: the skipping one counts separately
        for number, batch in enumerate(batches, start=done):
            if resumed and done:
                set_generator_states(generators)
            resumed = None
            with accelerator.accumulate(model):
                if recipe.label_smoothing:
                    labels = batch.pop("labels")
                    loss = smooth(model(**batch), labels, shift_labels=workload.shifts_labels)
                else:
                    loss = model(**batch).loss
                if recipe.loss_average == "window":
                    # `backward` divides by this number; an epoch's last window may be shorter.
                    remaining = len(train_loader) - number + number % accumulation
                    accelerator.gradient_accumulation_steps = min(accumulation, remaining)
                accelerator.backward(loss)
                window_loss += loss.detach() / accelerator.gradient_accumulation_steps
                accelerator.gradient_accumulation_steps = accumulation
                if accelerator.sync_gradients and recipe.max_grad_norm is not None:
                    accelerator.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
                optimizer.step()
                if accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped:
                    lr_scheduler.step()
                optimizer.zero_grad()
            if not accelerator.sync_gradients:
                continue

            probe.logged(window_loss)
            step, window_loss = step + 1, 0.0
            if recipe.eval_every == "epoch":
                due = step % steps_per_epoch == 0 or step == num_steps
            else:
                due = recipe.eval_every is not None and step % recipe.eval_every == 0
            if due:
                probe.evaluated(evaluate_model(workload, recipe, workload.model))
                model.train()
            if recipe.save_every and step % recipe.save_every == 0:
                folder = workload.output_dir / f"checkpoint-{step}"
                accelerator.save_state(str(folder))
                # Further state of the loop. `register_for_checkpointing` would save it, too, but
                # loads it with weights_only=False, which can execute code from the file.
                state = {
                    "step": step,
                    "lr_scheduler": lr_scheduler.state_dict(),
                    "epoch_start": epoch_start,
                }
                torch.save(state, folder / rest)
                probe.saved(folder)
            if step == num_steps:
                break
    return workload.model  # type: ignore[no-any-return]  # an nn.Module


def build_loader(workload: Workload, recipe: Recipe) -> DataLoader[dict[str, torch.Tensor]]:
    """The loader of the training batches, before Accelerate prepares it."""
    sampler = None
    if recipe.sampler == "length_grouped":
        sampler = LengthGroupedSampler(
            recipe.per_device_batch_size * recipe.gradient_accumulation_steps,
            lengths=[len(row) for row in workload.train_set["input_ids"]],
        )
    return DataLoader(
        workload.train_set,
        shuffle=recipe.sampler in ("seeded", "global"),
        sampler=sampler,
        batch_size=recipe.per_device_batch_size,
        collate_fn=workload.collate,
        drop_last=recipe.drop_last,
        num_workers=recipe.num_workers,
    )


def build_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD; parameters without decay are selected by their names, as scripts do."""
    undecayed: tuple[str, ...] = ("bias", "norm.weight", "ln_", "norm_")
    if recipe.decay_exclusions == "none":
        undecayed = ()
    groups: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[not any(piece in name.lower() for piece in undecayed)].append(parameter)
    parameters = [
        {"params": groups[True], "weight_decay": recipe.weight_decay},
        {"params": groups[False], "weight_decay": 0.0},
    ]
    fused, foreach = recipe.optimizer_flavour == "fused", recipe.optimizer_flavour == "foreach"
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            fused=fused,
            foreach=foreach,
        )
    return torch.optim.AdamW(
        parameters,
        lr=recipe.learning_rate,
        betas=recipe.betas,
        eps=recipe.eps,
        fused=fused,
        foreach=foreach,
    )
