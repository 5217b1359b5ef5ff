"""Logs of a record, written as the Trainer, TensorBoard or a script would have written them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.results.curves import curve_table
from harness.results.imported.event_file import Scalar, scalars_as_bytes
from harness.results.record import RunRecord

__all__ = ["trainer_history", "write_csv", "write_events", "write_state"]


def trainer_history(record: RunRecord, every: int = 2, digits: int | None = None) -> list[Any]:
    """What the Trainer logs every so many updates, with its mean over the window.

    `digits`: decimals to which it rounds the loss, as it did before version 5; None: all.
    """
    rows = curve_table(record).to_pylist()
    history: list[Any] = []
    for end in range(every, len(rows) + 1, every):
        loss = float(np.mean([row["loss"] for row in rows[end - every : end]]))
        last = rows[end - 1]
        history.append(
            {
                "epoch": end / len(rows),
                "grad_norm": last["grad_norm"],
                "learning_rate": last["learning_rate"],
                "loss": loss if digits is None else round(loss, digits),
                "step": end,
            }
        )
    evaluation = record.header.evaluations[-1]
    metrics = {f"eval_{name}": value for name, value in evaluation.metrics.items()}
    history.append({**metrics, "eval_runtime": 0.25, "step": evaluation.step})
    history.append({"train_loss": 0.5, "train_runtime": 2.5, "total_flos": 1.0, "step": len(rows)})
    return history


def write_state(path: Path, history: Sequence[Any], **more: Any) -> Path:
    """A `trainer_state.json`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"global_step": history[-1]["step"], "log_history": history, **more}
    path.write_text(json.dumps(state), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A CSV file with a column for each key."""
    with path.open("w", encoding="utf-8", newline="") as file:
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(file, list(names), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_events(folder: Path, scalars: Sequence[tuple[str, int, float]]) -> Path:
    """A folder with one event file."""
    folder.mkdir(parents=True, exist_ok=True)
    content = scalars_as_bytes((Scalar(*scalar) for scalar in scalars), 1.5e9)
    (folder / "events.out.tfevents.1500000000.host").write_bytes(content)
    return folder
