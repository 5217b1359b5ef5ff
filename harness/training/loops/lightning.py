"""The Lightning Trainer loop: a `LightningModule`, and public arguments of the Trainer."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, Sampler

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.evaluation import evaluate_model
from harness.training.loops import fabric
from harness.training.loops._refusal import refuse_others
from harness.training.loops.plain import evaluation_is_due
from harness.training.probe import Probe
from harness.training.workload import Workload

REQUIRES = {"lightning": "lightning"}

# The Trainer divides each loss by the configured number of micro-batches, and does not clip.
NATIVE = {"loss_average": "configured", "max_grad_norm": None}


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    refuse_others("lightning", fabric.FOLLOWED, workload, recipe)
    batches_per_epoch = len(fabric.loader(workload, recipe, fabric.order(workload, recipe, 0)))
    accumulation = recipe.gradient_accumulation_steps
    shorter = recipe.loss_average == "window" and batches_per_epoch % accumulation
    if shorter or recipe.loss_average == "sum":
        raise SpecError(
            "Lightning divides each loss by gradient_accumulation_steps, also in a shorter window",
            f"loss_average={recipe.loss_average}, {batches_per_epoch} batches in an epoch",
            "set loss_average to configured",
        )
    if recipe.precision != "fp32" and recipe.optimizer_flavour == "fused" and recipe.max_grad_norm:
        raise SpecError(
            "Lightning does not clip gradients for a fused optimizer under autocast",
            f"precision={recipe.precision}, optimizer_flavour=fused",
            "set optimizer_flavour to foreach",
        )
    if recipe.gradient_checkpointing:
        workload.model.gradient_checkpointing_enable({"use_reentrant": False})
    module = Lit(workload, recipe, probe, math.ceil(batches_per_epoch / accumulation))
    module.train()  # the Trainer keeps the mode of the module
    trainer = Trainer(
        accelerator=workload.device.type,
        devices=1 if workload.device.index is None else [workload.device.index],
        precision=fabric.PRECISIONS[recipe.precision],
        max_steps=module.num_steps,
        max_epochs=-1,
        accumulate_grad_batches=accumulation,
        gradient_clip_val=recipe.max_grad_norm,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=workload.output_dir,
    )
    try:
        trainer.fit(module)
    except SystemExit as error:  # so the Trainer ends the process on Ctrl-C
        raise KeyboardInterrupt from error
    return module.model


class Lit(LightningModule):
    """The workload's model in the form that the Trainer trains."""

    def __init__(
        self, workload: Workload, recipe: Recipe, probe: Probe, steps_per_epoch: int
    ) -> None:
        super().__init__()
        self.model: torch.nn.Module = workload.model
        self.workload, self.recipe, self.probe = workload, recipe, probe
        self.steps_per_epoch = steps_per_epoch
        self.num_steps = recipe.max_steps or recipe.num_epochs * steps_per_epoch
        self.steps_done = 0
        self.window_loss = torch.zeros(())

    def train_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        """The batches of every epoch. The Trainer calls `set_epoch` of the sampler."""
        order = fabric.order(self.workload, self.recipe, 0)
        if self.recipe.sampler == "seeded":
            order = SeededOrder(self.workload, self.recipe)
        return fabric.loader(self.workload, self.recipe, order)

    def configure_optimizers(self) -> Any:
        """Optimizer, and a schedule that moves at each update."""
        optimizer = fabric.build_optimizer(self.model, self.recipe)
        scheduler = fabric.build_scheduler(optimizer, self.recipe, self.num_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_train_start(self) -> None:
        """The optimizer exists now."""
        self.probe.watch(self.model, self.trainer.optimizers[0])

    def training_step(self, batch: dict[str, torch.Tensor], number: int) -> torch.Tensor:
        """The loss of a micro-batch; the Trainer divides it, and goes backward."""
        loss: torch.Tensor = self.model(**batch).loss
        part = loss.detach() / self.recipe.gradient_accumulation_steps
        first = number % self.recipe.gradient_accumulation_steps == 0
        self.window_loss = part if first else self.window_loss + part
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, number: int) -> None:
        """After an update: report its loss, and evaluate if the recipe asks for it."""
        if self.trainer.global_step == self.steps_done:
            return
        self.steps_done = step = self.trainer.global_step
        self.probe.logged(self.window_loss)
        if evaluation_is_due(self.recipe, step, self.steps_per_epoch, self.num_steps):
            self.probe.evaluated(evaluate_model(self.workload, self.recipe, self.model))
            self.train()


class SeededOrder(Sampler[int]):
    """A new order in each epoch, from a generator of its own."""

    def __init__(self, workload: Workload, recipe: Recipe) -> None:
        self.workload, self.recipe, self.epoch = workload, recipe, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.workload.train_set)

    def __iter__(self) -> Iterator[int]:
        return iter(fabric.order(self.workload, self.recipe, self.epoch))
