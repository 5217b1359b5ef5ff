"""The evaluation, equal for all loops, and a check of one batch before training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.data import DataLoader

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.workload import IGNORED, Workload, autocast

__all__ = ["Scores", "check_one_batch", "evaluate_model"]


class Scores(NamedTuple):
    """The result of an evaluation."""

    rows: int
    metrics: dict[str, float]
    predicted: frozenset[int]
    """The classes that were predicted at least once."""


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
    predicted: set[int] = set()
    model.eval()
    for batch in loader:
        batch = {name: tensor.to(workload.device) for name, tensor in batch.items()}
        with torch.no_grad(), autocast(workload, recipe):
            logits = model(**batch).logits.float()
        targets = workload.targets(batch["labels"])
        scored = targets != IGNORED
        predictions = logits.argmax(dim=-1)[scored].cpu()
        rows += len(targets)
        if not len(predictions):  # a batch without targets has no mean loss
            continue
        num_targets += len(predictions)
        predicted.update(predictions.tolist())
        metric.add_batch(predictions=predictions, references=targets[scored].cpu())
        loss_sum += float(workload.loss(logits, batch["labels"])) * len(predictions)
    loss = loss_sum / num_targets
    derived = {name: of_loss(loss) for name, of_loss in workload.loss_metrics.items()}
    metrics = {**(metric.compute() or {}), "loss": loss, **derived}
    return Scores(rows, metrics, frozenset(predicted))


def check_one_batch(workload: Workload, recipe: Recipe) -> str:
    """Run one forward pass before training, as in the course; return a summary of one line.

    Raises `SpecError` if the data, the model and the task do not fit together.
    """
    count = min(recipe.per_device_batch_size, 8, len(workload.train_set))
    rows = [workload.train_set[i] for i in range(count)]
    batch = workload.collate(rows)
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
    expected = (*workload.targets(batch["labels"]).shape, workload.num_classes)
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
    shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in batch.items())
    return f"one batch: {shapes}; loss {output.loss:.4f}; logits {list(output.logits.shape)}"
