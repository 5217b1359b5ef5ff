"""Sentence pairs from a seeded grammar with a small pretrained BERT: the default, no network."""

from __future__ import annotations

from pathlib import Path

import torch
from datasets import Dataset

from harness.data_folder import Splits, read_folder
from harness.errors import SpecError
from harness.pair_classification import build_workload
from harness.spec import Option, Recipe
from harness.synthetic.sentence_pairs import splits
from harness.workload import Workload

__all__ = ["build"]

# Read as literals by the catalogue; None: what the package brings along.
OPTIONS = {"data": None, "model": None, "train_rows": 3668, "eval_rows": 408}
RECIPE: dict[str, object] = {}

_CHECKPOINT = Path(__file__).parent.parent / "synthetic" / "checkpoint"


def build(
    options: dict[str, Option], recipe: Recipe, device: torch.device, output_dir: Path
) -> Workload:
    """The workload. Raises `SpecError` for data or a model that does not fit."""
    if options["data"] is None:
        train, validation = splits()
        pairs = Splits(Dataset.from_list(train), Dataset.from_list(validation))
    else:
        pairs = read_folder(Path(str(options["data"])))
    pairs = Splits(
        _first(pairs.train, "train_rows", options), _first(pairs.validation, "eval_rows", options)
    )
    checkpoint = str(options["model"] or _CHECKPOINT)
    return build_workload("paraphrase", pairs, checkpoint, recipe, device, output_dir)


def _first(rows: Dataset, option: str, options: dict[str, Option]) -> Dataset:
    count = int(options[option] or 0)
    if count < 1:
        raise SpecError(f"{option} is at least 1", count, "raise it")
    return rows.select(range(min(count, len(rows))))
