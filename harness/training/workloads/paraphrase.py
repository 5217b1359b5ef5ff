"""Sentence pairs from a seeded grammar with a small pretrained BERT: the default, no network."""

from __future__ import annotations

from pathlib import Path

import torch
from datasets import Dataset

from harness.spec.recipe import Option, Recipe
from harness.training.data_files import Splits, first_rows, read_folder
from harness.training.synthetic.sentence_pairs import splits
from harness.training.workload import Workload
from harness.training.workloads._sentence_pairs import build_workload

__all__ = ["build"]

# Read as literals by the registry; None: the data and the model of the package.
OPTIONS = {"data": None, "model": None, "train_rows": 0, "eval_rows": 0}
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
        first_rows(pairs.train, "train_rows", options["train_rows"]),
        first_rows(pairs.validation, "eval_rows", options["eval_rows"]),
    )
    checkpoint = str(options["model"] or _CHECKPOINT)
    return build_workload("paraphrase", pairs, checkpoint, recipe, device, output_dir)
