"""Sentence pairs -> a `Workload`, in the course's own steps.

Tokenise pairs with truncation, drop the text columns, rename `label` to `labels`, torch format,
padding by a collator, a pretrained model with a fresh head, accuracy and F1. Where the pairs and
the checkpoint come from is the workload's business.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import transformers
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from harness.errors import SpecError
from harness.metric_modules.accuracy_and_f1 import AccuracyAndF1
from harness.spec import Recipe
from harness.workload import Workload

__all__ = [
    "PairData",
    "build_workload",
    "length_limit",
    "load_pretrained",
    "load_tokenizer",
    "read_folder",
]

_TASK = "sequence classification, with a tokenizer"
_COLUMNS = ("sentence1", "sentence2", "label")
_READERS: dict[str, Any] = {  # path -> DataFrame; the stubs of pandas take partials for readers
    ".jsonl": partial(pd.read_json, lines=True, dtype=False, convert_dates=False),
    ".json": partial(pd.read_json, dtype=False, convert_dates=False),
    ".csv": partial(pd.read_csv, keep_default_na=False),
    ".tsv": partial(pd.read_csv, sep="\t", keep_default_na=False, quoting=3),
    ".parquet": pd.read_parquet,
}


@dataclass(frozen=True)
class PairData:
    """Two sets of rows with the columns `sentence1`, `sentence2` and `label`."""

    train: Dataset
    validation: Dataset


def read_folder(folder: Path) -> PairData:
    """Pairs from a `save_to_disk` folder, or from files `train.*` and `validation.*`.

    Known suffixes: jsonl, json, csv, tsv, parquet. The files are read anew each time, without a
    cache that could be stale. Raises `SpecError`.
    """
    if not folder.is_dir():
        raise SpecError("data= takes a folder that exists", folder, "check the path")
    if (folder / "dataset_dict.json").is_file():
        from datasets import DatasetDict, load_from_disk

        saved = load_from_disk(str(folder))
        if not isinstance(saved, DatasetDict) or not {"train", "validation"} <= saved.keys():
            raise SpecError("a saved dataset needs the splits train and validation", folder, "add")
        return PairData(saved["train"], saved["validation"])
    return PairData(_read_split(folder, "train"), _read_split(folder, "validation"))


def _read_split(folder: Path, split: str) -> Dataset:
    for suffix, reader in _READERS.items():
        path = folder / f"{split}{suffix}"
        if path.is_file():
            try:
                frame = reader(path)
            except ValueError as error:  # pandas and pyarrow raise subclasses of it
                raise SpecError(
                    f"{split}{suffix} must be readable", error, "mend the file"
                ) from None
            return Dataset.from_pandas(frame, preserve_index=False)
    kinds = ", ".join(suffix[1:] for suffix in _READERS)
    raise SpecError(
        f"data= takes a folder with a file {split}.* ({kinds})",
        ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "an empty folder",
        "name the files train.* and validation.*, or pass another folder",
    )


def build_workload(
    name: str,
    data: PairData,
    checkpoint: str,
    recipe: Recipe,
    device: torch.device,
    output_dir: Path,
) -> Workload:
    """The workload for `data` with the pretrained model at `checkpoint` and a head drawn now.

    Raises `SpecError` where columns, labels, tokenizer or model do not fit.
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


def length_limit(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> int:
    """How many tokens a row may have: what the recipe says, or what the model can take."""
    positions = getattr(model.config, "max_position_embeddings", 512)
    return recipe.max_length or min(tokenizer.model_max_length, positions)


def _check(data: PairData) -> int:
    """The number of classes."""
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
            raise SpecError(f"the {split} set needs rows", 0, "pass data that has some")
        for column in ("sentence1", "sentence2"):
            wrong = next((v for v in rows[column] if not isinstance(v, str)), None)
            if wrong is not None:
                raise SpecError(f"column {column} of {split} holds text", repr(wrong), "mend it")
        for label in set(rows["label"]):
            if isinstance(label, bool) or not isinstance(label, int) or label < 0:
                raise SpecError(
                    f"labels of {split} are whole numbers from 0 on", repr(label), "map them so"
                )
            labels.add(label)
    count = max(labels) + 1
    if len(labels) < 2 or labels != set(range(count)):
        raise SpecError(
            "labels use every class number from 0 on, and at least two", sorted(labels), "renumber"
        )
    return count


def load_pretrained(
    auto: type[Any], checkpoint: str, task: str, recipe: Recipe, **options: Any
) -> Any:
    """The model at `checkpoint`, a folder or a hub id, in single precision.

    `auto` is the class of transformers that loads it for `task`, and `options` are its own, such
    as `num_labels`. Raises `SpecError` for one that does not fit.
    """
    _quiet()
    _check_checkpoint(checkpoint)
    try:
        return auto.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation=recipe.attention, **options
        )
    except Exception as error:  # noqa: BLE001  # what a checkpoint that does not fit raises is past listing
        raise _misfit(checkpoint, task, error) from None


def load_tokenizer(checkpoint: str, task: str) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to the model at `checkpoint`. Raises `SpecError`."""
    _quiet()
    _check_checkpoint(checkpoint)
    try:
        return AutoTokenizer.from_pretrained(checkpoint)
    except Exception as error:  # noqa: BLE001  # as above
        raise _misfit(checkpoint, task, error) from None


def _quiet() -> None:
    # Loading warns that the head is new (which is the point) and draws bars of its own.
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _misfit(checkpoint: str, task: str, error: Exception) -> SpecError:
    reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
    return SpecError(
        f"model= takes a checkpoint for {task}", f"{checkpoint}: {reason}", "pass another"
    )


def _check_checkpoint(checkpoint: str) -> None:
    """Answer at once for a local folder that is no checkpoint, or a hub out of reach."""
    folder = Path(checkpoint)
    if folder.is_dir():
        config = folder / "config.json"
        try:
            json.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise SpecError(
                "a model folder holds a config.json", folder, "pass the folder of a checkpoint"
            ) from None
