"""`Workload`: all that a loop needs besides a recipe, and the final evaluation for all loops.

It declines to train: no optimizer, no schedule, no order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness.spec.recipe import Recipe

__all__ = ["IGNORED", "MetricModule", "Workload", "autocast", "mean_cross_entropy", "next_tokens"]

IGNORED = -100
"""The label of a place that asks nothing: padding, a special token, the rest of a word."""


class MetricModule(Protocol):
    """The part of `evaluate`'s modules that is used here."""

    def add_batch(self, *, predictions: Any, references: Any) -> None: ...

    def compute(self) -> dict[str, float] | None: ...


def mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of logits [..., classes] at targets [...]: the mean over those not `IGNORED`.

    In the shapes in which transformers' models compute theirs, so that it rounds as theirs does.
    """
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED
    )


def next_tokens(labels: Tensor) -> Tensor:
    """What the logits at each token [batch, length] are to predict; nothing at the last."""
    return torch.nn.functional.pad(labels[..., 1:], (0, 1), value=IGNORED)


@dataclass(frozen=True)
class Workload:
    """A task on a device. Its sets yield dicts of tensors, `labels` among them."""

    name: str
    model: PreTrainedModel
    """Freshly built, on the CPU; the loop moves it to `device`."""
    tokenizer: PreTrainedTokenizerBase | None
    """None where rows are no text."""
    train_set: Dataset
    eval_set: Dataset
    collate: Callable[[list[dict[str, Tensor]]], dict[str, Tensor]]
    """Rows -> one batch."""
    num_classes: int
    """How many classes each answer chooses from: the size of the logits' last dimension."""
    loss: Callable[[Tensor, Tensor], Tensor]
    """The task's own loss: logits [batch, ..., classes], labels [batch, ...] -> mean over all
    targets of the batch that are not `IGNORED`."""
    metric: Callable[[], MetricModule]
    """A fresh module that turns predictions and targets, both flat, into the final metrics."""
    device: torch.device
    output_dir: Path
    """A folder for the loop's checkpoints. It outlives the process and ends with the run."""
    resume_from: Path | None = None
    """The checkpoint in it from which this process goes on."""
    rank: int = 0
    """Number of this process among those that train together, in a group of torch.distributed."""
    world_size: int = 1
    """How many they are."""
    shifts_labels: bool = False
    """Whether the logits at a token answer for the next one, as a language model's do."""
    loss_metrics: Mapping[str, Callable[[float], float]] = field(default_factory=dict)
    """Further final metrics, by name, each a function of the evaluation loss."""

    def targets(self, labels: Tensor) -> Tensor:
        """What the logits at each place are to predict, in the shape of the labels."""
        return next_tokens(labels) if self.shifts_labels else labels


def autocast(workload: Workload, recipe: Recipe) -> torch.autocast:
    """The context of a forward pass at the recipe's precision."""
    enabled = recipe.precision != "fp32"
    dtype = torch.float16 if recipe.precision == "fp16" else torch.bfloat16
    return torch.autocast(workload.device.type, dtype, enabled=enabled)
