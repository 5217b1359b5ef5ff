"""Reads a user's data folder: training rows and validation rows. Workloads check the columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset, DatasetDict, load_from_disk

from harness.errors import SpecError

__all__ = ["Splits", "check_values", "first_rows", "read_folder"]

_READERS: dict[str, Any] = {  # path -> DataFrame; pandas' stubs do not accept these partials
    ".jsonl": partial(pd.read_json, lines=True, dtype=False),
    ".json": partial(pd.read_json, dtype=False),
    ".csv": partial(pd.read_csv, keep_default_na=False),
    ".tsv": partial(pd.read_csv, sep="\t", keep_default_na=False, quoting=3),
    ".parquet": pd.read_parquet,
}


_REMEDY = "correct or remove the row"


@dataclass(frozen=True)
class Splits:
    """Rows for training and rows for evaluation."""

    train: Dataset
    validation: Dataset
    train_file: str = "the train set"
    """What it was read from, for messages."""
    validation_file: str = "the validation set"
    """As `train_file`."""


def first_rows(rows: Dataset, option: str, count: object) -> Dataset:
    """The first `count` rows; all rows if there are fewer or if `count` is 0.

    Raises `SpecError` with the name of the `option` for a negative `count`.
    """
    number = int(str(count))
    if number < 0:
        raise SpecError(f"{option} is a number of rows, or 0 for all rows", number, "raise it")
    return rows.select(range(min(number, len(rows)))) if number else rows


def read_folder(folder: Path) -> Splits:
    """Rows from a `save_to_disk` folder, or from files `train.*` and `validation.*`.

    Suffixes: jsonl, json, csv, tsv, parquet. The files are read anew each time, since a cache could
    be stale. Raises `SpecError`.
    """
    if not folder.is_dir():
        raise SpecError("data must be an existing folder", folder, "check the path")
    if (folder / "dataset_dict.json").is_file():
        saved = load_from_disk(str(folder))
        if not isinstance(saved, DatasetDict) or not {"train", "validation"} <= saved.keys():
            raise SpecError(
                "a saved dataset needs the splits train and validation",
                folder,
                "add the missing split",
            )
        return Splits(saved["train"], saved["validation"])
    (train, first), (validation, second) = (
        _read_split(folder, split) for split in ("train", "validation")
    )
    return Splits(train, validation, first, second)


def check_values(
    rows: Dataset, columns: Sequence[str], source: str, empty_texts: bool = False
) -> None:
    """Raise `SpecError` for the first row that has no value in a column, or only empty texts.

    Rows are counted from 1. `empty_texts`: empty texts are usual in this data.
    """
    values = {column: list(rows[column]) for column in columns}
    for column, found in values.items():
        for number, value in enumerate(found, start=1):
            if value is None or (isinstance(value, float) and math.isnan(value)):
                met = f"{'null' if value is None else 'NaN'} in row {number} of {source}"
                raise SpecError(f"column {column} needs a value in every row", met, _REMEDY)
    if empty_texts:
        return
    texts = [found for found in values.values() if found and isinstance(found[0], str)]
    for number, row in enumerate(zip(*texts, strict=True), start=1):
        if not any(str(text).strip() for text in row):
            raise SpecError("a row needs text", f"an empty row {number} of {source}", _REMEDY)


def _read_split(folder: Path, split: str) -> tuple[Dataset, str]:
    for suffix, reader in _READERS.items():
        path = folder / f"{split}{suffix}"
        if path.is_file():
            try:
                frame = reader(path)
            except ValueError as error:  # pandas and pyarrow raise subclasses of it
                raise SpecError(
                    f"{split}{suffix} must be readable", error, "correct the file"
                ) from None
            return Dataset.from_pandas(frame, preserve_index=False), path.name
    kinds = ", ".join(suffix[1:] for suffix in _READERS)
    raise SpecError(
        f"data must be a folder with a file {split}.* ({kinds})",
        ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "an empty folder",
        "name the files train.* and validation.*, or pass another folder",
    )
