"""A correct loop in another style: `get_scheduler`, and windows counted by `(i + 1) % k`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, RandomSampler
from transformers import get_scheduler

from harness.spec.recipe import Recipe
from harness.training.evaluation import evaluate_model
from harness.training.probe import Probe
from harness.training.workload import Workload, autocast

__all__ = ["train"]

Batch = dict[str, Tensor]


class ByHand:
    """One training; each of its decisions is a method."""

    spared: tuple[str, ...] = ("bias", "LayerNorm.weight", "layer_norm.weight", "ln_")

    def __init__(self, workload: Workload, recipe: Recipe, probe: Probe) -> None:
        self.workload, self.recipe, self.probe = workload, recipe, probe
        self.model: torch.nn.Module = workload.model
        self.called: Any = self.model
        self.k = recipe.gradient_accumulation_steps
        self.step = 0

    def groups(self) -> list[dict[str, Any]]:
        """The decayed parameters and the others, chosen by name."""
        named = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        decayed = [p for n, p in named if not n.endswith(self.spared)]
        spared = [p for n, p in named if n.endswith(self.spared)]
        return [
            {"params": decayed, "weight_decay": self.recipe.weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ]

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The fused implementation, which is the Trainer's default."""
        rate = self.recipe.learning_rate
        if self.recipe.optimizer == "sgd":
            return torch.optim.SGD(self.groups(), rate, momentum=0.9, fused=True)
        return torch.optim.AdamW(self.groups(), rate, fused=True)

    def order(self, epoch: int) -> Iterable[int]:
        """The row numbers of one process in an epoch."""
        rows = self.workload.train_set
        if self.recipe.sampler == "global":
            return RandomSampler(rows)
        draw = torch.Generator().manual_seed(self.recipe.seed + epoch)
        ids = torch.randperm(len(rows), generator=draw).tolist()
        size, ranks = self.recipe.per_device_batch_size, self.workload.world_size
        if ranks > 1:
            ids += ids[: -len(ids) % (size * ranks)]
            batches = [ids[i : i + size] for i in range(0, len(ids), size)]
            ids = [row for batch in batches[self.workload.rank :: ranks] for row in batch]
        return ids

    def loader(self, epoch: int) -> Iterable[Batch]:
        """The batches of an epoch."""
        return DataLoader(
            self.workload.train_set,
            batch_size=self.recipe.per_device_batch_size,
            sampler=self.order(epoch),
            collate_fn=self.workload.collate,
            drop_last=self.recipe.drop_last,
        )

    def batches(self) -> int:
        """The number of batches of one process in an epoch."""
        rows = len(self.workload.train_set)
        size = self.recipe.per_device_batch_size * self.workload.world_size
        return rows // size if self.recipe.drop_last else math.ceil(rows / size)

    def length(self) -> int:
        """The number of steps of the schedule."""
        return self.recipe.max_steps or self.recipe.num_epochs * math.ceil(self.batches() / self.k)

    def make_scheduler(self) -> Any:
        """The schedule of the recipe."""
        return get_scheduler(
            self.recipe.lr_schedule,
            self.optimizer,
            num_warmup_steps=self.recipe.warmup_steps,
            num_training_steps=self.length(),
        )

    def loss(self, batch: Batch) -> Tensor:
        """The model's loss."""
        with autocast(self.workload, self.recipe):
            found: Tensor = self.called(**batch).loss
        return found

    def share(self, i: int) -> float:
        """The divisor of a loss: the number of micro-batches in its window."""
        return min(self.k, self.batches() - i // self.k * self.k)

    def clip(self) -> None:
        """Clip gradients, if the recipe asks for it."""
        if self.recipe.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.max_grad_norm)

    def update(self) -> None:
        """Make one step of the optimizer."""
        self.clip()
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()

    def is_due(self, i: int) -> bool:
        """Whether an update follows batch `i` of the epoch, counted from 0."""
        return (i + 1) % self.k == 0 or i + 1 == self.batches()

    def evaluate(self) -> None:
        """Evaluate the model during training."""
        self.probe.evaluated(evaluate_model(self.workload, self.recipe, self.model))
        self.model.train()

    def run(self) -> torch.nn.Module:
        """Train."""
        self.model.train()
        if self.workload.world_size > 1:
            self.called = DistributedDataParallel(self.model)
        self.optimizer = self.make_optimizer()
        self.scheduler = self.make_scheduler()
        self.probe.watch(self.called, self.optimizer)
        last = self.recipe.max_steps or math.inf
        epoch, shown = 0, 0.0
        while self.step < last and (self.recipe.max_steps or epoch < self.recipe.num_epochs):
            for i, batch in enumerate(self.loader(epoch)):
                loss = self.loss(batch) / self.share(i)
                loss.backward()
                shown += float(loss.detach())
                if not self.is_due(i):
                    continue
                self.update()
                self.step += 1
                self.probe.logged(shown)
                shown = 0.0
                every = self.recipe.eval_every
                if isinstance(every, int) and self.step % every == 0:
                    self.evaluate()
                if self.step == last:
                    break
            epoch += 1
        return self.model


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train by the recipe."""
    return ByHand(workload, recipe, probe).run()
