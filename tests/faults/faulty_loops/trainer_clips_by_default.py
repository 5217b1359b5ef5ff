"""A Trainer with one fault: nobody told it not to clip."""

from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload


class Watched(Trainer):
    """Makes an SGD of its own."""

    def create_optimizer(self, *given: Any) -> torch.optim.Optimizer:
        """With momentum."""
        model: Any = self.model
        rate = self.args.learning_rate
        self.optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, fused=True)
        return self.optimizer


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train by SGD."""
    model: Any = workload.model
    model.accepts_loss_kwargs = False

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, optimizer: Any = None, **more: Any) -> None:
            probe.watch(model, optimizer)

    arguments = TrainingArguments(
        output_dir=str(workload.output_dir),
        seed=recipe.seed,
        num_train_epochs=recipe.num_epochs,
        per_device_train_batch_size=recipe.per_device_batch_size,
        learning_rate=recipe.learning_rate,
        accelerator_config={"use_seedable_sampler": True},
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Watched(
        model=model,
        args=arguments,
        train_dataset=workload.train_set,
        data_collator=workload.collate,
        callbacks=[Watch()],
    )
    trainer.train()
    return workload.model
