"""Small real runs for the tests: a few dozen rows of the grammar, the shipped checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.comparison.compare import compare
from harness.execution.parent.runner import Run, run_all
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.spec import registry
from harness.spec.case import Case, label
from harness.spec.recipe import Conventions
from harness.training.synthetic.sentence_pairs import sentence_pairs

__all__ = ["comparison", "small_case", "train", "write_pairs"]


def write_pairs(folder: Path, train: int = 44, validation: int = 12, **changed: Any) -> Path:
    """A data folder with so many rows; `changed` replaces columns of the training rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", train, 7), ("validation", validation, 8)):
        rows = sentence_pairs(count, seed)
        if split == "train":
            rows = [{**row, **changed} for row in rows]
        lines = (json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def small_case(folder: Path, **settings: Any) -> Case:
    """The embedded case on the rows in `folder`: 44 rows at 8 a batch, two epochs of 6 steps."""
    case = registry.cases()["paraphrase"]
    return registry.with_settings(case, {"data": str(folder), "num_epochs": 2, **settings})


def train(
    case: Case, loops: list[str], folder: Path, conventions: Conventions = "matched", **more: Any
) -> dict[str, RunRecord]:
    """Run each loop in a worker of its own; records by label."""
    specs = [registry.run_spec(case, loop, conventions, **more) for loop in loops]
    runs = [Run(spec, folder / label(spec)) for spec in specs]
    records = run_all(runs, jobs=2, on_event=lambda _number, _event: None)
    return {label(spec): record for spec, record in zip(specs, records, strict=True)}


def comparison(records: dict[str, RunRecord], reference: str, candidate: str) -> Comparison:
    """The comparison of two of the records."""
    return compare(records[reference], records[candidate], (reference, candidate))
