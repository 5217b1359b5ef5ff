"""`Workload`: all that a loop needs besides a recipe, and the final evaluation for all loops.

It declines to train: no optimizer, no schedule, no order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness.errors import SpecError
from harness.spec import Recipe

__all__ = ["Examples", "MetricModule", "Scores", "Workload", "check_one_batch", "evaluate_model"]


class MetricModule(Protocol):
    """The part of `evaluate`'s modules that is used here."""

    def add_batch(self, *, predictions: Any, references: Any) -> None: ...

    def compute(self) -> dict[str, float] | None: ...


@dataclass(frozen=True)
class Workload:
    """A task on a device. Its sets yield dicts of tensors, `labels` among them."""

    name: str
    model: PreTrainedModel
    """Freshly built, on the CPU; the loop moves it to `device`."""
    tokenizer: PreTrainedTokenizerBase
    train_set: Dataset
    eval_set: Dataset
    collate: Callable[[list[dict[str, Tensor]]], dict[str, Tensor]]
    """Rows -> one batch."""
    loss: Callable[[Tensor, Tensor], Tensor]
    """The task's own loss: logits [batch, classes], labels [batch] -> mean over the batch."""
    metric: Callable[[], MetricModule]
    """A fresh module that turns predictions and labels into the task's final metrics."""
    device: torch.device
    output_dir: Path
    """A folder that a loop may write to; gone after the run."""


class Examples:
    """Tells which training rows a batch holds, from what the batch holds.

    A row is known by its tokens without padding, so that any loop can be watched, whatever columns
    it dropped. Rows with the same tokens share the id of the first of them.
    """

    UNKNOWN = -1

    def __init__(self, train_set: Dataset) -> None:
        columns = train_set.with_format("numpy")
        self._keys = [name for name in ("input_ids", "token_type_ids") if name in columns.features]
        self._ids: dict[bytes, int] = {}
        for number, row in enumerate(zip(*(columns[name] for name in self._keys), strict=True)):
            self._ids.setdefault(_row_key(row), number)
        self.labels = torch.as_tensor(np.asarray(columns["labels"][:]))
        """Labels of the training set, [rows]."""

    def identify(self, batch: Mapping[str, Tensor]) -> list[int]:
        """Row numbers of a batch [batch, length]; `UNKNOWN` for what is no training row."""
        columns = [batch[name].cpu().numpy() for name in self._keys]
        mask = batch["attention_mask"].cpu().numpy().astype(bool)
        rows = ([column[i][mask[i]] for column in columns] for i in range(len(mask)))
        return [self._ids.get(_row_key(row), self.UNKNOWN) for row in rows]


def _row_key(columns: Any) -> bytes:
    return b"|".join(np.asarray(column, dtype=np.int64).tobytes() for column in columns)


class Scores(NamedTuple):
    """What an evaluation found."""

    rows: int
    metrics: dict[str, float]
    predicted: frozenset[int]
    """Classes that were predicted at least once."""


def evaluate_model(workload: Workload, recipe: Recipe, model: torch.nn.Module) -> Scores:
    """Score the model on the evaluation set: the course's loop, for every model alike.

    `loss` is the mean over rows, not over batches. Draws from torch's global generator once, as
    every pass over a `DataLoader` does.
    """
    loader = DataLoader(
        workload.eval_set,
        batch_size=recipe.eval_batch_size,
        collate_fn=workload.collate,
    )
    metric = workload.metric()
    rows, loss_sum = 0, 0.0
    predicted: set[int] = set()
    model.eval()
    for batch in loader:
        batch = {name: tensor.to(workload.device) for name, tensor in batch.items()}
        with torch.no_grad():
            logits = model(**batch).logits
        predictions = logits.argmax(dim=-1).cpu()
        predicted.update(predictions.tolist())
        metric.add_batch(predictions=predictions, references=batch["labels"].cpu())
        rows += len(batch["labels"])
        loss_sum += float(workload.loss(logits, batch["labels"])) * len(batch["labels"])
    metrics = {**(metric.compute() or {}), "loss": loss_sum / rows}
    return Scores(rows, metrics, frozenset(predicted))


def check_one_batch(workload: Workload, recipe: Recipe) -> str:
    """One forward pass before training, as in the course; says what it saw.

    Raises `SpecError` where the data, the model and the task do not fit together.
    """
    rows = [workload.train_set[i] for i in range(min(recipe.per_device_batch_size, 8))]
    batch = workload.collate(rows)
    vocabulary = workload.model.config.vocab_size
    if (top := int(batch["input_ids"].max())) >= vocabulary:
        raise SpecError(
            f"token ids lie below the model's vocabulary of {vocabulary}",
            top,
            "use the tokenizer that belongs to the model",
        )
    workload.model.eval()
    with torch.no_grad():
        output = workload.model(**batch)
    expected = (len(rows), workload.model.config.num_labels)
    if tuple(output.logits.shape) != expected:
        raise SpecError(
            f"the model must answer with logits of shape {expected}",
            tuple(output.logits.shape),
            "pass a model for sequence classification",
        )
    if not torch.isfinite(output.loss):
        raise SpecError(
            "the loss of the first batch must be finite", float(output.loss), "check the weights"
        )
    shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in batch.items())
    return f"one batch: {shapes}; loss {output.loss:.4f}; logits {list(output.logits.shape)}"
