"""GLUE MRPC with a pretrained BERT: the course's task, from the hub or from local files."""

from __future__ import annotations

from pathlib import Path

import torch
from datasets import load_dataset

from harness.spec.recipe import Option, Recipe
from harness.training import hub
from harness.training.data_files import Splits, read_folder
from harness.training.workload import Workload
from harness.training.workloads._sentence_pairs import build_workload

__all__ = ["build"]

# Read as literals by the registry; None: the data set of the hub.
OPTIONS = {"data": None, "model": "bert-base-uncased"}
RECIPE: dict[str, object] = {}

_LOCAL = "pass --set data=FOLDER with train.* and validation.*, and --set model=FOLDER"


def build(
    options: dict[str, Option], recipe: Recipe, device: torch.device, output_dir: Path
) -> Workload:
    """The workload. Raises `SpecError` for data or a model that is missing or does not fit."""
    data, model = options["data"], str(options["model"])
    if data is None:
        hub.require("dataset", "nyu-mll/glue", None, _LOCAL)
        splits = load_dataset("nyu-mll/glue", "mrpc")
        pairs = Splits(splits["train"], splits["validation"])
    else:
        pairs = read_folder(Path(str(data)))
    if not Path(model).is_dir():
        hub.require("model", model, "config.json", _LOCAL)
    return build_workload("mrpc", pairs, model, recipe, device, output_dir)
