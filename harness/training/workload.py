"""`Workload`: everything that a loop needs besides a recipe.

It does not train: it has no optimizer, no schedule and no order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from harness.spec.recipe import Recipe
from harness.training.predictions import IGNORED, Predict, best_class

__all__ = ["IGNORED", "MetricModule", "Workload", "autocast", "mean_cross_entropy", "next_tokens"]


class MetricModule(Protocol):
    """The methods of an `evaluate` metric that the harness uses."""

    def add_batch(self, *, predictions: Any, references: Any) -> None: ...

    def compute(self) -> dict[str, float] | None: ...


def mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of logits [..., classes] at targets [...]: the mean over those not `IGNORED`.

    The tensors have the shapes of the loss in transformers' models, so the rounding is the same.
    """
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED
    )


def next_tokens(labels: Tensor) -> Tensor:
    """The target of the logits at each token [batch, length]; `IGNORED` at the last token."""
    return torch.nn.functional.pad(labels[..., 1:], (0, 1), value=IGNORED)


@dataclass(frozen=True)
class Workload:
    """A task on a device. The rows of its sets are dicts of tensors and include `labels`."""

    name: str
    model: Any
    """An `nn.Module`, freshly built, on the CPU; the loop moves it to `device`. Called with the
    columns of a batch it returns an object with `loss` and `logits`."""
    tokenizer: PreTrainedTokenizerBase | None
    """None if the rows are not text."""
    train_set: Any
    """Rows, with a length; a `datasets.Dataset`, or any data set of a user's task."""
    eval_set: Any
    """As `train_set`."""
    collate: Callable[[list[Any]], dict[str, Tensor]]
    """Rows -> one batch."""
    num_classes: int | None
    """The number of classes: the size of the logits' last dimension. None: there are no classes,
    or they are not known."""
    loss: Callable[[Any, Any], Tensor]
    """The task's loss: logits [batch, ..., classes], labels [batch, ...] -> mean over all targets
    of the batch that are not `IGNORED`. In a task of the user's it takes the model's whole output,
    and raises `SpecError` if only the model computes it."""
    metric: Callable[[], MetricModule]
    """Returns a new metric; it computes the final metrics from flat predictions and targets."""
    device: torch.device
    output_dir: Path
    """A folder for the loop's checkpoints. It outlives the process and is removed after the run."""
    resume_from: Path | None = None
    """The checkpoint from which this process resumes."""
    rank: int = 0
    """Number of this process in the group of torch.distributed that trains together."""
    world_size: int = 1
    """Number of processes in the group."""
    shifts_labels: bool = False
    """Whether the logits at a token predict the next token, as in a language model."""
    loss_metrics: Mapping[str, Callable[[float], float]] = field(default_factory=dict)
    """Further final metrics by name; each is a function of the evaluation loss."""
    predict: Predict = best_class
    """Outputs and targets -> predictions and references for the metric."""
    own_task: bool = False
    """Whether it is a task of the user's: rows of any kind, and the loss that its model returns."""
    has_labels: bool = True
    """Whether a batch has a column `labels`."""

    def targets(self, labels: Tensor) -> Tensor:
        """The target of the logits at each position, in the shape of the labels."""
        return next_tokens(labels) if self.shifts_labels else labels


def autocast(workload: Workload, recipe: Recipe) -> torch.autocast:
    """The context for a forward pass at the recipe's precision."""
    enabled = recipe.precision != "fp32"
    dtype = torch.float16 if recipe.precision == "fp16" else torch.bfloat16
    return torch.autocast(workload.device.type, dtype, enabled=enabled)
