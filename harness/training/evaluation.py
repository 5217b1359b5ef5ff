"""The evaluation, equal for all loops, and a check of one batch before training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.predictions import best_class
from harness.training.workload import Workload, autocast

__all__ = [
    "Scores",
    "check_one_batch",
    "classes_in",
    "evaluate_model",
    "logits_shape",
    "predictions_of",
]


class Scores(NamedTuple):
    """The result of an evaluation."""

    rows: int
    metrics: dict[str, float]
    predicted: frozenset[int]
    """The classes that were predicted at least once; empty if the task has no classes."""


def evaluate_model(workload: Workload, recipe: Recipe, model: torch.nn.Module) -> Scores:
    """Score the model on the evaluation set, as the course's evaluation loop does.

    `loss` is the mean over targets (one per row, or one per labelled token), not over batches.
    Positions that are `IGNORED` are not scored. Draws from torch's global generator once, as every
    pass over a `DataLoader` does. Leaves the model in evaluation mode.
    """
    loader = DataLoader(
        workload.eval_set,
        batch_size=recipe.eval_batch_size,
        collate_fn=workload.collate,
    )
    metric = workload.metric()
    rows, num_targets, loss_sum = 0, 0, 0.0
    predicted: frozenset[int] = frozenset()
    model.eval()
    for batch in loader:
        batch = {name: tensor.to(workload.device) for name, tensor in batch.items()}
        with torch.no_grad(), autocast(workload, recipe):
            output = model(**batch)
        logits = output.logits if workload.own_task else output.logits.float()
        labels: Any = batch["labels"] if workload.has_labels else batch
        predictions, references = predictions_of(workload, logits, labels)
        count = len(predictions) if workload.predict is best_class else num_rows(batch)
        rows += num_rows(batch)
        if not count:  # a batch without targets has no mean loss
            continue
        num_targets += count
        predicted |= classes_in(workload, predictions)
        metric.add_batch(predictions=predictions, references=references)
        loss = output.loss if workload.own_task else workload.loss(logits, labels)
        loss_sum += float(loss) * count
    mean = loss_sum / num_targets
    derived = {name: of_loss(mean) for name, of_loss in workload.loss_metrics.items()}
    metrics = {**(metric.compute() or {}), "loss": mean, **derived}
    return Scores(rows, metrics, predicted)


def predictions_of(workload: Workload, logits: Any, labels: Any) -> tuple[Any, Any]:
    """Predictions and references for the metric of the workload."""
    targets = workload.targets(labels) if isinstance(labels, Tensor) else labels
    return workload.predict(logits, targets)


def classes_in(workload: Workload, predictions: Any) -> frozenset[int]:
    """The classes among the predictions; none if the task has no classes."""
    return frozenset(predictions.tolist() if workload.predict is best_class else ())


def num_rows(batch: Mapping[str, Tensor]) -> int:
    """The number of rows in a batch."""
    return len(next(iter(batch.values())))


def check_one_batch(workload: Workload, recipe: Recipe) -> str:
    """Run one forward pass before training, as in the course; return a summary of one line.

    Raises `SpecError` if the data, the model and the task do not fit together.
    """
    count = min(recipe.per_device_batch_size, 8, len(workload.train_set))
    rows = [workload.train_set[i] for i in range(count)]
    batch = workload.collate(rows)
    shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in batch.items())
    if workload.own_task:
        loss = _checked_loss(workload, batch)
        return f"one batch: {shapes}; loss {float(loss):.4f}"
    if "input_ids" in batch:
        vocabulary = workload.model.config.get_text_config().vocab_size
        if (top := int(batch["input_ids"].max())) >= vocabulary:
            raise SpecError(
                f"token ids must be below the model's vocabulary size of {vocabulary}",
                top,
                "use the tokenizer of the model",
            )
    workload.model.eval()
    with torch.no_grad():
        output = workload.model(**batch)
    expected = logits_shape(workload, workload.targets(batch["labels"]))
    if tuple(output.logits.shape) != expected:
        raise SpecError(
            f"the model must return logits of shape {expected}",
            tuple(output.logits.shape),
            f"pass a model that fits the task {workload.name}",
        )
    if not torch.isfinite(output.loss):
        raise SpecError(
            "the loss of the first batch must be finite", float(output.loss), "check the weights"
        )
    return f"one batch: {shapes}; loss {output.loss:.4f}; logits {list(output.logits.shape)}"


def logits_shape(workload: Workload, targets: Tensor) -> tuple[int | None, ...]:
    """The shape of the logits for these targets, by the kind of the task."""
    if workload.predict is best_class:
        return (*targets.shape, workload.num_classes)
    return (*targets.shape, 1) if targets.ndim == 1 else tuple(targets.shape)


def _checked_loss(workload: Workload, batch: Mapping[str, Tensor]) -> Tensor:
    """The loss of a user's task, from which a training can go on. Raises `SpecError`."""
    with torch.enable_grad():
        loss = workload.model(**batch).loss
    rule = f"the loss of the task {workload.name} is one finite number that depends on its model"
    if not isinstance(loss, Tensor):
        met, remedy = f"a value of type {type(loss).__name__}", "return a tensor"
    elif loss.numel() != 1 or loss.ndim:
        met, remedy = f"a tensor of shape {list(loss.shape)}", "return its mean or its sum"
    elif not torch.isfinite(loss):
        met, remedy = str(float(loss.detach())), "check the data and the loss"
    elif not loss.requires_grad:
        met, remedy = "a loss without a gradient", "compute it from the output of the model"
    else:
        return loss.detach()
    raise SpecError(rule, met, remedy)
