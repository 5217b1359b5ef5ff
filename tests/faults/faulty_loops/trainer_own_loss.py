"""A Trainer with one fault: its own `compute_loss` takes the number of labels of the window, and
returns a mean over the batch all the same."""

from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from harness.spec.recipe import Recipe
from harness.training.probe import Probe
from harness.training.workload import Workload


class OwnLoss(Trainer):
    """With a loss of its own."""

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Cross-entropy."""
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = torch.nn.functional.cross_entropy(outputs.logits, labels)
        return (loss, outputs) if return_outputs else loss


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train by SGD."""
    model: Any = workload.model

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, optimizer: Any = None, **more: Any) -> None:
            probe.watch(model, optimizer)

    optimizer = torch.optim.SGD(model.parameters(), recipe.learning_rate, momentum=0.9, fused=True)
    arguments = TrainingArguments(
        output_dir=str(workload.output_dir),
        seed=recipe.seed,
        num_train_epochs=recipe.num_epochs,
        per_device_train_batch_size=recipe.per_device_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        max_grad_norm=0.0,
        accelerator_config={"use_seedable_sampler": True},
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = OwnLoss(
        model=model,
        args=arguments,
        train_dataset=workload.train_set,
        data_collator=workload.collate,
        optimizers=(optimizer, None),
    )
    trainer.add_callback(Watch())
    trainer.train()
    return workload.model
