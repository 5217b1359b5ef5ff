"""Builds a `Workload` from sentence pairs, in the steps of the course.

It tokenizes pairs with truncation, drops the text columns and renames `label` to `labels`. A
collator pads the batches; a pretrained model gets a new head; the metrics are accuracy and F1. The
workloads choose the pairs and the checkpoint.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
)

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.data_files import Splits
from harness.training.metrics.accuracy_and_f1 import AccuracyAndF1
from harness.training.pretrained import length_limit, load_pretrained, load_tokenizer
from harness.training.workload import Workload

__all__ = ["build_workload"]

_TASK = "sequence classification, with a tokenizer"
_COLUMNS = ("sentence1", "sentence2", "label")


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
    num_labels = _check(data)
    tokenizer = load_tokenizer(checkpoint, _TASK)
    model: PreTrainedModel = load_pretrained(
        AutoModelForSequenceClassification, checkpoint, _TASK, recipe, num_labels=num_labels
    )
    limit = length_limit(recipe, tokenizer, model)

    def tokenize(rows: dict[str, list[str]]) -> Any:
        return tokenizer(rows["sentence1"], rows["sentence2"], truncation=True, max_length=limit)

    def prepare(rows: Dataset) -> Dataset:
        dropped = [column for column in rows.column_names if column != "label"]
        encoded = rows.map(
            tokenize,
            batched=True,
            remove_columns=dropped,
            keep_in_memory=True,
            load_from_cache_file=False,
        )
        return encoded.rename_column("label", "labels").with_format("torch")

    return Workload(
        name=name,
        model=model,
        tokenizer=tokenizer,
        train_set=prepare(data.train),
        eval_set=prepare(data.validation),
        collate=DataCollatorWithPadding(tokenizer, padding=recipe.padding, max_length=limit),
        num_classes=num_labels,
        loss=torch.nn.functional.cross_entropy,
        metric=partial(AccuracyAndF1, cache_dir=str(output_dir), keep_in_memory=True),
        device=device,
        output_dir=output_dir,
    )


def _check(data: Splits) -> int:
    """The number of classes. Raises `SpecError` for missing columns, rows or classes."""
    labels: set[int] = set()
    for split, rows in (("train", data.train), ("validation", data.validation)):
        absent = [column for column in _COLUMNS if column not in rows.column_names]
        if absent:
            raise SpecError(
                f"the {split} rows need the columns {', '.join(_COLUMNS)}",
                ", ".join(rows.column_names),
                f"add or rename {', '.join(absent)}",
            )
        if not len(rows):
            raise SpecError(f"the {split} set needs rows", 0, "pass data with rows")
        for column in ("sentence1", "sentence2"):
            wrong = next((v for v in rows[column] if not isinstance(v, str)), None)
            if wrong is not None:
                raise SpecError(
                    f"column {column} of {split} must hold text", repr(wrong), "correct it"
                )
        for label in set(rows["label"]):
            if isinstance(label, bool) or not isinstance(label, int) or label < 0:
                raise SpecError(
                    f"labels of {split} must be whole numbers from 0 on",
                    repr(label),
                    "renumber the labels",
                )
            labels.add(label)
    count = max(labels) + 1
    if len(labels) < 2 or labels != set(range(count)):
        raise SpecError(
            "labels must use every class number from 0 on, and at least two classes",
            sorted(labels),
            "renumber the labels",
        )
    return count
