"""The stock Trainer as its documentation shows it, with no remedy for what its model ignores."""

from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the Trainer does by itself."""

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, optimizer: Any = None, **more: Any) -> None:
            probe.watch(trainer.model_wrapped, optimizer)

    arguments = TrainingArguments(
        output_dir=str(workload.output_dir),
        seed=recipe.seed,
        num_train_epochs=recipe.num_epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.per_device_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        optim="sgd" if recipe.optimizer == "sgd" else "adamw_torch_fused",
        max_grad_norm=recipe.max_grad_norm or 0.0,
        accelerator_config={"use_seedable_sampler": True},
        ddp_backend="gloo" if workload.world_size > 1 else None,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=workload.model,
        args=arguments,
        train_dataset=workload.train_set,
        data_collator=workload.collate,
    )
    trainer.add_callback(Watch())
    trainer.train()
    return workload.model
