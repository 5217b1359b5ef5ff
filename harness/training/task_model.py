"""A user's model, data and loss in the form that every loop trains.

A loop calls `model(**batch).loss` on a dict of tensors. `TaskModel` and `TaskCollate` give this
form to a model that takes and returns anything, and to batches that are tuples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from harness.errors import SpecError

__all__ = ["TaskCollate", "TaskModel", "TaskOutput"]

_INPUT = re.compile(r"input_\d+")
_BATCH = "a batch of a task is a tensor, a tuple or list of tensors, or a dict of tensors"
_REMEDY = "return tensors from collate"


@dataclass
class TaskOutput(ModelOutput):
    """What the model of a task returns."""

    loss: Any = None
    logits: Any = None
    """What the user's model returned: a tensor, or any structure."""


class TaskCollate:
    """Rows -> a dict of tensors, by the user's own collate function or torch's.

    A dict stays as it is. Of a tuple the last tensor is the target, in the column `labels`; the
    others are the model's inputs. A single tensor is both.
    """

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, rows: list[Any]) -> dict[str, Tensor]:
        """The batch of these rows. Raises `SpecError` if it is not made of tensors."""
        batch = self.collate(rows)
        if isinstance(batch, Mapping):
            named = dict(batch)
        else:
            *inputs, target = _flat(batch)
            named = {f"input_{number}": each for number, each in enumerate(inputs or [target])}
            named["labels"] = target
        for name, value in named.items():
            if not isinstance(name, str) or not isinstance(value, Tensor):
                raise SpecError(_BATCH, f"{name!r}: {type(value).__name__}", _REMEDY)
        if not named:
            raise SpecError(_BATCH, "an empty dict", _REMEDY)
        return named


class TaskModel(nn.Module):
    """The user's model, which also computes the loss of its task.

    `loss`: a function of output and target, or of output and the whole batch if it has no column
    `labels`. None: the model computes its loss, and gets the target too.
    """

    def __init__(
        self, model: nn.Module, loss: Callable[[Any, Any], Any] | None, has_labels: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.has_labels = has_labels

    def forward(
        self, labels: Any = None, num_items_in_batch: Any = None, **batch: Any
    ) -> TaskOutput:
        """Loss and output for the columns of a batch. Without a target there may be no loss."""
        inputs = [batch[name] for name in batch if _INPUT.fullmatch(name)]
        named = {} if inputs else dict(batch)
        if self.loss is None and labels is not None:
            output = self.model(*inputs, labels) if inputs else self.model(**named, labels=labels)
        else:
            output = self.model(*inputs, **named)
        if self.loss is None:
            return TaskOutput(_own_loss(output), _without_loss(output))
        if labels is None and self.has_labels:  # a caller computes the loss itself
            return TaskOutput(None, output)
        return TaskOutput(self.loss(output, labels if self.has_labels else named), output)

    def gradient_checkpointing_enable(self, *arguments: Any, **options: Any) -> None:
        """As the user's model does it."""
        enable: Any = self.model.gradient_checkpointing_enable
        enable(*arguments, **options)


def _flat(batch: Any) -> list[Any]:
    """The tensors of a tuple, whose inputs may be a tuple of their own."""
    if isinstance(batch, Tensor):
        return [batch]
    if not isinstance(batch, Sequence) or isinstance(batch, (str, bytes)) or not len(batch):
        raise SpecError(_BATCH, f"a value of type {type(batch).__name__}", _REMEDY)
    flat: list[Any] = []
    for each in batch[:-1]:
        flat += each if isinstance(each, (tuple, list)) else [each]
    return [*flat, batch[-1]]


def _own_loss(output: Any) -> Any:
    """The loss in what a model returned: named `loss`, or its only number. Raises `SpecError`."""
    if isinstance(output, Mapping) and "loss" in output:
        return output["loss"]
    if getattr(output, "loss", None) is not None:
        return output.loss
    parts = output if isinstance(output, (tuple, list)) else [output]
    numbers = [each for each in parts if isinstance(each, Tensor) and each.ndim == 0]
    if len(numbers) != 1:
        raise SpecError(
            "a task without a loss needs a model that returns its loss",
            f"an output of type {type(output).__name__} with {len(numbers)} numbers",
            "add a loss to the task, such as torch.nn.functional.cross_entropy",
        )
    return numbers[0]


def _without_loss(output: Any) -> Any:
    """What a model returned beside its loss: its logits, if they are named, or the rest."""
    if isinstance(output, Mapping) and "logits" in output:
        return output["logits"]
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, (tuple, list)):
        rest = [each for each in output if not (isinstance(each, Tensor) and each.ndim == 0)]
        return rest[0] if len(rest) == 1 else tuple(rest)
    return torch.empty(0) if isinstance(output, Tensor) else output
