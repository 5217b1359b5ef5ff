"""`Workload`: all that a loop needs besides a recipe, and the final evaluation for all loops.

It declines to train: no optimizer, no schedule, no order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness.errors import SpecError
from harness.spec import Recipe

__all__ = [
    "IGNORED",
    "Examples",
    "MetricModule",
    "Scores",
    "Workload",
    "autocast",
    "check_one_batch",
    "evaluate_model",
    "mean_cross_entropy",
    "next_tokens",
]

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


class Examples:
    """Tells which training rows a batch holds, from what the batch holds.

    A row is known by its tokens without padding, or by its pixels, so that any loop can be watched,
    whatever columns it dropped. Equal rows share the id of the first of them.
    """

    UNKNOWN = -1

    def __init__(self, train_set: Dataset) -> None:
        columns = train_set.with_format("numpy")
        kinds = ("input_ids", "token_type_ids", "pixel_values")
        self._keys = [name for name in kinds if name in columns.features]
        self._columns = columns
        self._ids: dict[tuple[str, ...], dict[bytes, int]] = {}
        labels = [torch.tensor(row) for row in columns["labels"][:]]
        self.labels = (
            pad_sequence(labels, batch_first=True, padding_value=IGNORED)
            if labels[0].ndim
            else torch.stack(labels)
        )
        """Labels of the training set: [rows], or [rows, longest] filled up with `IGNORED`."""

    def identify(self, batch: Mapping[str, Tensor]) -> list[int]:
        """Row numbers of a batch [batch, ...]; `UNKNOWN` for what is no training row."""
        keys = tuple(name for name in self._keys if name in batch)  # a loop may leave some out
        if keys not in self._ids:
            known = self._ids[keys] = {}
            for number, row in enumerate(zip(*(self._columns[name] for name in keys), strict=True)):
                known.setdefault(_row_key(row), number)
        columns = [_as_numpy(batch[name]) for name in keys]
        rows: Any = zip(*columns, strict=True)
        if "attention_mask" in batch:
            mask = _as_numpy(batch["attention_mask"]).astype(bool)
            rows = ([column[i][mask[i]] for column in columns] for i in range(len(mask)))
        return [self._ids[keys].get(_row_key(row), self.UNKNOWN) for row in rows]

    def labels_of(self, ids: list[int], batch: Mapping[str, Tensor]) -> Tensor:
        """The labels of the rows `ids` that `batch` holds, in the shape that its collator gives.

        For a loop that keeps them to itself, to compute its loss outside the model. On the CPU.
        Labels of tokens stand where the tokens do, and those of an unknown row are `IGNORED`.
        """
        if self.labels.ndim == 1:
            return self.labels[ids]
        tokens = batch["input_ids"]
        mask = batch.get("attention_mask", torch.ones_like(tokens)).bool().cpu()
        labels = torch.full(tokens.shape, IGNORED)
        for row, number in enumerate(ids):
            if number != self.UNKNOWN:
                labels[row, mask[row]] = self.labels[number, : int(mask[row].sum())]
        return labels


def _as_numpy(tensor: Tensor) -> Any:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _row_key(columns: Any) -> bytes:
    arrays = (np.asarray(column) for column in columns)
    return b"|".join(
        array.astype(np.float32 if array.dtype.kind == "f" else np.int64).tobytes()
        for array in arrays
    )


class Scores(NamedTuple):
    """What an evaluation found."""

    rows: int
    metrics: dict[str, float]
    predicted: frozenset[int]
    """Classes that were predicted at least once."""


def evaluate_model(workload: Workload, recipe: Recipe, model: torch.nn.Module) -> Scores:
    """Score the model on the evaluation set: the course's loop, for every model alike.

    `loss` is the mean over targets (one a row, or one a labelled token), not over batches; places
    that are `IGNORED` are neither predicted nor scored. Draws from torch's global generator once,
    as every pass over a `DataLoader` does.
    """
    loader = DataLoader(
        workload.eval_set,
        batch_size=recipe.eval_batch_size,
        collate_fn=workload.collate,
    )
    metric = workload.metric()
    rows, answers, loss_sum = 0, 0, 0.0
    predicted: set[int] = set()
    model.eval()
    for batch in loader:
        batch = {name: tensor.to(workload.device) for name, tensor in batch.items()}
        with torch.no_grad(), autocast(workload, recipe):
            logits = model(**batch).logits.float()
        targets = workload.targets(batch["labels"])
        asked = targets != IGNORED
        predictions = logits.argmax(dim=-1)[asked].cpu()
        rows += len(targets)
        if not len(predictions):  # a batch that asks nothing has no mean
            continue
        answers += len(predictions)
        predicted.update(predictions.tolist())
        metric.add_batch(predictions=predictions, references=targets[asked].cpu())
        loss_sum += float(workload.loss(logits, batch["labels"])) * len(predictions)
    loss = loss_sum / answers
    derived = {name: of_loss(loss) for name, of_loss in workload.loss_metrics.items()}
    metrics = {**(metric.compute() or {}), "loss": loss, **derived}
    return Scores(rows, metrics, frozenset(predicted))


def check_one_batch(workload: Workload, recipe: Recipe) -> str:
    """One forward pass before training, as in the course; says what it saw.

    Raises `SpecError` where the data, the model and the task do not fit together.
    """
    count = min(recipe.per_device_batch_size, 8, len(workload.train_set))
    rows = [workload.train_set[i] for i in range(count)]
    batch = workload.collate(rows)
    if "input_ids" in batch:
        vocabulary = workload.model.config.get_text_config().vocab_size
        if (top := int(batch["input_ids"].max())) >= vocabulary:
            raise SpecError(
                f"token ids lie below the model's vocabulary of {vocabulary}",
                top,
                "use the tokenizer that belongs to the model",
            )
    workload.model.eval()
    with torch.no_grad():
        output = workload.model(**batch)
    expected = (*workload.targets(batch["labels"]).shape, workload.num_classes)
    if tuple(output.logits.shape) != expected:
        raise SpecError(
            f"the model must answer with logits of shape {expected}",
            tuple(output.logits.shape),
            f"pass a model that fits the task {workload.name}",
        )
    if not torch.isfinite(output.loss):
        raise SpecError(
            "the loss of the first batch must be finite", float(output.loss), "check the weights"
        )
    shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in batch.items())
    return f"one batch: {shapes}; loss {output.loss:.4f}; logits {list(output.logits.shape)}"
