"""Builds a `Workload` from sentence pairs or single texts, in the steps of the course.

It tokenizes the texts with truncation, drops their columns and renames `label` to `labels`. A
collator pads the batches; a pretrained model gets a new head. The labels decide what is learned:
whole numbers are classes, other numbers a regression, and lists of 0 and 1 several labels for each
row. The workloads choose the texts and the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
)

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.data_files import Splits, check_values
from harness.training.metrics.accuracy_and_f1 import AccuracyAndF1
from harness.training.metrics.multi_label import MultiLabel
from harness.training.metrics.regression import Regression
from harness.training.predictions import Predict, best_class, chosen_labels, numbers
from harness.training.pretrained import length_limit, load_pretrained, load_tokenizer
from harness.training.workload import Workload

__all__ = ["build_workload"]

_TASK = "sequence classification, with a tokenizer"
_COLUMNS = (("sentence1", "sentence2"), ("text",), ("sentence",))
"""The columns of text that a set may have, beside `label`; the first that are there are read."""


def _squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """As the models of transformers compute it for one number for each row."""
    return torch.nn.functional.mse_loss(logits.squeeze(), labels.squeeze())


@dataclass(frozen=True)
class _Kind:
    """What is learned from labels of one kind."""

    problem: str
    """Its name in the configuration of a model."""
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: Callable[..., Any]
    predict: Predict


_CLASSES = _Kind(
    "single_label_classification", torch.nn.functional.cross_entropy, AccuracyAndF1, best_class
)
_NUMBERS = _Kind("regression", _squared_error, Regression, numbers)
_SEVERAL = _Kind(
    "multi_label_classification",
    torch.nn.functional.binary_cross_entropy_with_logits,
    MultiLabel,
    chosen_labels,
)


def build_workload(
    name: str,
    data: Splits,
    checkpoint: str,
    recipe: Recipe,
    device: torch.device,
    output_dir: Path,
) -> Workload:
    """The workload for `data` with the pretrained model at `checkpoint` and a newly drawn head.

    Raises `SpecError` if columns, labels, tokenizer or model do not fit.
    """
    columns = _text_columns(data)
    kind, num_labels = _labels(data)
    tokenizer = load_tokenizer(checkpoint, _TASK)
    model: PreTrainedModel = load_pretrained(
        AutoModelForSequenceClassification,
        checkpoint,
        _TASK,
        recipe,
        num_labels=num_labels,
        problem_type=kind.problem,
    )
    limit = length_limit(recipe, tokenizer, model)

    def tokenize(rows: dict[str, list[str]]) -> Any:
        texts = [rows[column] for column in columns]
        encoded = tokenizer(*texts, truncation=True, max_length=limit)
        if kind is not _CLASSES:  # the losses take floating-point targets
            encoded["labels"] = torch.tensor(rows["label"], dtype=torch.float32).tolist()
        return encoded

    def prepare(rows: Dataset) -> Dataset:
        dropped = [c for c in rows.column_names if c != "label" or kind is not _CLASSES]
        encoded = rows.map(
            tokenize,
            batched=True,
            remove_columns=dropped,
            keep_in_memory=True,
            load_from_cache_file=False,
        )
        if kind is _CLASSES:
            encoded = encoded.rename_column("label", "labels")
        return encoded.with_format("torch")

    return Workload(
        name=name,
        model=model,
        tokenizer=tokenizer,
        train_set=prepare(data.train),
        eval_set=prepare(data.validation),
        collate=DataCollatorWithPadding(tokenizer, padding=recipe.padding, max_length=limit),
        num_classes=num_labels,
        loss=kind.loss,
        metric=partial(kind.metric, cache_dir=str(output_dir), keep_in_memory=True),
        predict=kind.predict,
        device=device,
        output_dir=output_dir,
    )


def _text_columns(data: Splits) -> tuple[str, ...]:
    """The columns with the texts. Raises `SpecError` for missing columns, rows or texts."""
    names = data.train.column_names
    columns = next((each for each in _COLUMNS if set(each) <= set(names)), _COLUMNS[0])
    for split, rows in (("train", data.train), ("validation", data.validation)):
        absent = [column for column in (*columns, "label") if column not in rows.column_names]
        if absent:
            raise SpecError(
                f"the {split} rows need the columns {', '.join(_COLUMNS[0])}, label, "
                f"or {_COLUMNS[1][0]}, label",
                ", ".join(rows.column_names),
                f"add or rename {', '.join(absent)}",
            )
        if not len(rows):
            raise SpecError(f"the {split} set needs rows", 0, "pass data with rows")
        source = data.train_file if split == "train" else data.validation_file
        check_values(rows, (*columns, "label"), source)
        for column in columns:
            wrong = next((v for v in rows[column] if not isinstance(v, str)), None)
            if wrong is not None:
                raise SpecError(
                    f"column {column} of {split} must hold text", repr(wrong), "correct it"
                )
    return columns


def _labels(data: Splits) -> tuple[_Kind, int]:
    """What is learned, and the number of outputs. Raises `SpecError` for labels of no kind."""
    sets = {"train": list(data.train["label"]), "validation": list(data.validation["label"])}
    every = [label for labels in sets.values() for label in labels]
    if all(isinstance(label, list) for label in every):
        return _SEVERAL, _checked_lists(every)
    if all(isinstance(label, (int, float)) for label in every) and any(
        isinstance(label, float) for label in every
    ):
        wrong = [label for label in every if not math.isfinite(label)]
        if wrong:
            raise SpecError("labels of a regression must be finite", wrong[0], "correct the rows")
        return _NUMBERS, 1
    return _CLASSES, _checked_classes(sets)


def _checked_lists(labels: list[list[Any]]) -> int:
    sizes = {len(each) for each in labels}
    wrong = next((each for each in labels if not set(each) <= {0, 1}), None)
    if wrong is not None or len(sizes) > 1 or 0 in sizes:
        raise SpecError(
            "labels that are lists hold 0 or 1 for each label, and are equally long",
            repr(wrong if wrong is not None else sorted(sizes)),
            "correct the rows",
        )
    return sizes.pop()


def _checked_classes(sets: dict[str, list[Any]]) -> int:
    found: set[int] = set()
    for split, labels in sets.items():
        for label in set(map(_hashable, labels)):
            if isinstance(label, bool) or not isinstance(label, int) or label < 0:
                raise SpecError(
                    f"labels of {split} must be whole numbers from 0 on, numbers with a fraction, "
                    "or lists of 0 and 1",
                    repr(label),
                    "renumber the labels",
                )
            found.add(label)
    count = max(found) + 1
    if len(found) < 2 or found != set(range(count)):
        raise SpecError(
            "labels must use every class number from 0 on, and at least two classes",
            sorted(found),
            "renumber the labels",
        )
    return count


def _hashable(label: Any) -> Any:
    return label if isinstance(label, (int, str, float, type(None))) else repr(label)
