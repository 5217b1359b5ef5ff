"""The stock Hugging Face `Trainer`: public arguments and a callback, nothing subclassed."""

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from harness.probe import Probe
from harness.spec import Recipe
from harness.workload import Workload

# What the Trainer does by itself is what the recipe's defaults say: matched is its conventions.
NATIVE: dict[str, object] = {}


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    arguments = TrainingArguments(
        output_dir=str(workload.output_dir),
        seed=recipe.seed,
        data_seed=recipe.data_seed,
        num_train_epochs=recipe.num_epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.per_device_batch_size,
        train_sampling_strategy="sequential" if recipe.sampler == "sequential" else "random",
        accelerator_config={"use_seedable_sampler": recipe.sampler == "seeded"},
        dataloader_drop_last=recipe.drop_last,
        dataloader_num_workers=recipe.num_workers,
        dataloader_pin_memory=workload.device.type == "cuda",
        lr_scheduler_type=recipe.lr_schedule,
        warmup_steps=recipe.warmup_steps,
        max_grad_norm=recipe.max_grad_norm or 0.0,
        weight_decay=recipe.weight_decay,
        use_cpu=workload.device.type == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=workload.model,
        args=arguments,
        train_dataset=workload.train_set,
        processing_class=workload.tokenizer,
        data_collator=workload.collate,
        optimizer_cls_and_kwargs=optimizer_choice(workload.model, recipe),
        callbacks=[Watch(probe)],
    )
    trainer.train()
    return workload.model


def optimizer_choice(
    model: torch.nn.Module, recipe: Recipe
) -> tuple[type[torch.optim.Optimizer], dict[str, object]]:
    """AdamW and its arguments; the Trainer makes the groups, unless all are decayed alike."""
    options: dict[str, object] = {
        "lr": recipe.learning_rate,
        "betas": recipe.betas,
        "eps": recipe.eps,
        "fused": recipe.optimizer_flavour == "fused",
        "foreach": recipe.optimizer_flavour == "foreach",
    }
    if recipe.decay_exclusions == "none":
        options["params"] = [
            {"params": list(model.parameters()), "weight_decay": recipe.weight_decay}
        ]
    return torch.optim.AdamW, options


class Watch(TrainerCallback):
    """Hands the probe what it watches, once the Trainer has made it."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **kwargs):  # type: ignore[no-untyped-def]  # the signature is the library's
        self.probe.watch(model, optimizer)
