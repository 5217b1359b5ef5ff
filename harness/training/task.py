"""A task of the user's: what its function returns becomes a `Workload`.

    def task():
        return {"model": ..., "data": (train, validation), "loss": ..., "metric": ...}

`model`, an `nn.Module`, and `data` are required. `data` is one data set, or a pair: the rows for
training and for evaluation. `loss` is a function of output and target. Without it the model returns
its own. `metric` is a function of outputs and targets, or the name of a built-in metric.
`collate` makes a batch of rows; without it, torch's `default_collate` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, Subset, TensorDataset, default_collate

from harness.errors import SpecError, check_known
from harness.training.metrics.accuracy import Accuracy
from harness.training.metrics.accuracy_and_f1 import AccuracyAndF1
from harness.training.metrics.accuracy_and_macro_f1 import AccuracyAndMacroF1
from harness.training.metrics.multi_label import MultiLabel
from harness.training.metrics.regression import Regression
from harness.training.predictions import (
    Predict,
    as_they_are,
    best_class,
    chosen_labels,
    numbers,
)
from harness.training.task_model import TaskCollate, TaskModel
from harness.training.workload import MetricModule, Workload

__all__ = ["METRICS", "PARTS", "first_rows", "is_plain", "workload_of"]

PARTS = ("model", "data", "loss", "metric", "collate")
"""The keys of what a task returns."""
METRICS: dict[str, tuple[type[Any], Predict]] = {
    "accuracy": (Accuracy, best_class),
    "accuracy_and_f1": (AccuracyAndF1, best_class),
    "accuracy_and_macro_f1": (AccuracyAndMacroF1, best_class),
    "multi_label": (MultiLabel, chosen_labels),
    "regression": (Regression, numbers),
}
"""Built-in metrics by name, each with how outputs become its predictions."""


def workload_of(parts: Any, name: str, device: torch.device, output_dir: Path) -> Workload:
    """The workload of the task that returned `parts`. Raises `SpecError` if it lacks something."""
    rule = "a task returns a dict with model and data, and with loss, metric and collate if needed"
    if not isinstance(parts, Mapping):
        raise SpecError(rule, f"a value of type {type(parts).__name__}", "return a dict")
    for key in parts:
        check_known("key of a task", key, PARTS)
    for key in ("model", "data"):
        if parts.get(key) is None:
            raise SpecError(rule, f"no {key}", "add it")
    model, loss, collate = parts["model"], parts.get("loss"), parts.get("collate")
    if not isinstance(model, nn.Module):
        met = f"a value of type {type(model).__name__}"
        raise SpecError("the model of a task is a torch.nn.Module", met, "return one")
    for key, function in (("loss", loss), ("collate", collate)):
        if function is not None and not callable(function):
            met = f"a value of type {type(function).__name__}"
            raise SpecError(f"the {key} of a task is a function", met, "pass a function")
    train_set, eval_set = _data(parts["data"])
    named = TaskCollate(collate or default_collate)
    has_labels = "labels" in named([train_set[0]])
    metric, predict = _metric(parts.get("metric"), output_dir)
    return Workload(
        name=name,
        model=TaskModel(model, loss, has_labels),
        tokenizer=None,
        train_set=train_set,
        eval_set=eval_set,
        collate=named,
        num_classes=None,
        loss=loss or _loss_of_model,
        metric=metric,
        device=device,
        output_dir=output_dir,
        predict=predict,
        own_task=True,
        has_labels=has_labels,
    )


def first_rows(rows: Any, option: str, count: object) -> Any:
    """The first `count` rows; all rows if there are fewer or if `count` is 0.

    Raises `SpecError` with the name of the `option` for a negative `count`.
    """
    number = int(str(count))
    if number < 0:
        raise SpecError(f"{option} is a number of rows, or 0 for all rows", number, "raise it")
    return Subset(rows, range(number)) if 0 < number < len(rows) else rows


def is_plain(rows: Any) -> bool:
    """Whether reading a row has no effect, by the class of the data set."""
    if type(rows) is Subset:
        return is_plain(rows.dataset)
    if isinstance(rows, Dataset):
        return rows.format["type"] in (None, "numpy", "torch")
    return type(rows) in (list, tuple, TensorDataset)


def _data(data: Any) -> tuple[Any, Any]:
    """The rows for training and for evaluation; the same if there are no others."""
    if isinstance(data, Mapping):
        pair = data.get("train"), data.get("validation", data.get("test"))
    else:
        several = isinstance(data, tuple) or (  # `random_split` returns a list
            isinstance(data, list) and all(isinstance(each, TorchDataset) for each in data)
        )
        pair = tuple(data) if several and len(data) == 2 else (data, data)
    for which, rows in zip(("training", "evaluation"), pair, strict=True):
        met = f"a value of type {type(rows).__name__}"
        if isinstance(rows, IterableDataset):
            remedy = "pass a data set with a length; a loop of your own may read a stream"
            raise SpecError("the rows of a task have a length", met, remedy)
        if not hasattr(rows, "__len__") or not hasattr(rows, "__getitem__"):
            rule = f"the {which} rows of a task are a data set, or a list of rows"
            raise SpecError(rule, met, "pass data=(train, validation)")
        if not len(rows):
            raise SpecError(f"the {which} set needs rows", 0, "pass data with rows")
    return pair


def _loss_of_model(output: Any, target: Any) -> Tensor:
    """Raise `SpecError`: a loop cannot compute the loss of a task that leaves it to its model."""
    raise SpecError(
        "a loop that computes the loss itself needs a task with a loss",
        "a task whose model returns its loss",
        "add a loss to the task, or leave loss_average and label_smoothing as they are",
    )


def _metric(metric: Any, output_dir: Path) -> tuple[Callable[[], MetricModule], Predict]:
    if metric is None:
        return NoMetric, as_they_are
    if isinstance(metric, str):
        check_known("metric", metric, METRICS)
        module, predict = METRICS[metric]
        built_in: Callable[..., Any] = module
        return partial(built_in, cache_dir=str(output_dir), keep_in_memory=True), predict
    if not callable(metric):
        met = f"a value of type {type(metric).__name__}"
        remedy = f"pass a function of outputs and targets, or one of {', '.join(METRICS)}"
        raise SpecError("the metric of a task is a function or a name", met, remedy)
    return partial(FunctionMetric, metric), as_they_are


class NoMetric:
    """The evaluation loss is the only metric."""

    def add_batch(self, *, predictions: Any, references: Any) -> None:
        """Nothing is kept."""

    def compute(self) -> dict[str, float]:
        """Nothing but the loss, which every evaluation has."""
        return {}


class FunctionMetric:
    """Calls a function of the user's once, with the outputs and targets of all rows."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self._function = function
        self._outputs: list[Any] = []
        self._targets: list[Any] = []

    def add_batch(self, *, predictions: Any, references: Any) -> None:
        """Keep the outputs and targets of one batch."""
        self._outputs.append(predictions)
        self._targets.append(references)

    def compute(self) -> dict[str, float]:
        """Metrics by name; a single number has the name of the function."""
        found = self._function(joined(self._outputs), joined(self._targets))
        values = found if isinstance(found, Mapping) else {_name(self._function): found}
        return {str(name): float(value) for name, value in values.items()}


def joined(batches: list[Any]) -> Any:
    """The values of several batches as those of one, in the same structure.

    Tensors are joined along their rows; where their further sizes differ, they stay a list.
    """
    leaves = [tree_flatten(batch) for batch in batches]
    structure = leaves[0][1]
    columns = zip(*(flat for flat, _ in leaves), strict=True)
    return tree_unflatten([_joined(list(column)) for column in columns], structure)


def _joined(parts: list[Any]) -> Any:
    tensors = all(isinstance(part, Tensor) and part.ndim for part in parts)
    if tensors and len({part.shape[1:] for part in parts}) == 1:
        return torch.cat(parts)
    return parts


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "metric")
    return name if name.isidentifier() else "metric"
