"""Reads the scalars of a TensorBoard log: an event file, or a folder that holds event files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.errors import RecordError
from harness.results.imported.event_file import read_scalars
from harness.results.imported.log import (
    Log,
    Series,
    clean_name,
    evaluation_metric,
    is_value,
    series_of_singles,
    step_number,
    training_quantity,
)

__all__ = ["EVENT_FILE", "event_files", "read_events"]

EVENT_FILE = "tfevents"
"""A part of the name of every event file."""
_DEPTH = 2
"""Levels of folders: the Trainer writes to runs/DATE_HOST in its output folder."""


def event_files(folder: Path) -> list[Path]:
    """The event files of one run in `folder`, or in the only folder below that holds any.

    Empty if there are none. Raises `RecordError` if several folders hold event files.
    """
    found: dict[Path, list[Path]] = {}
    for depth in range(_DEPTH + 1):
        for path in sorted(folder.glob(f"{'*/' * depth}*{EVENT_FILE}*")):
            if path.is_file():
                found.setdefault(path.parent, []).append(path)
    if folder in found or not found:
        return found.get(folder, [])
    if len(found) > 1:
        names = ", ".join(path.name for path in list(found)[:4])
        met = f"{len(found)} folders in {folder}, such as {names}"
        raise RecordError("a TensorBoard log holds one run", met, "pass the folder of one run")
    return next(iter(found.values()))


def read_events(paths: Iterable[Path], path: Path) -> Log:
    """The log in event files of one run; `path` is what the user passed. Raises `RecordError`."""
    tags: dict[str, list[tuple[int, float]]] = {}
    for file in paths:
        for scalar in read_scalars(file):
            step = step_number(scalar.step, file, f"tag {scalar.tag[:40]!r}")
            tags.setdefault(scalar.tag, []).append((step, scalar.value))
    training: dict[str, Series] = {}
    evaluations: dict[str, Series] = {}
    not_used = []
    for tag, rows in tags.items():
        if not is_value(tag):
            continue
        quantity, metric = training_quantity(tag), evaluation_metric(tag)
        if quantity is not None and quantity not in training:
            training[quantity] = series_of_singles(tag, rows, path)
        elif metric is not None and metric not in evaluations:
            evaluations[clean_name(metric)] = series_of_singles(tag, rows, path)
        else:
            not_used.append(clean_name(tag))
    return Log(path, "tensorboard", training, evaluations, tuple(not_used))
