"""Reads a CSV file of losses: a column `step`, and columns such as `loss` and `eval_accuracy`.

An empty cell is a value that was not logged at that step, so one row may hold the values of the
training and another those of an evaluation. Steps are updates.
"""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path

from harness.errors import RecordError
from harness.results.imported.log import (
    Log,
    Series,
    clean_name,
    evaluation_metric,
    is_value,
    number_of,
    series_of_decimals,
    step_number,
    training_quantity,
)

__all__ = ["read_csv"]

_STEP = ("step", "global_step", "train/global_step")
_REMEDY = "write a header such as step,loss,learning_rate and a number in each cell"

Rows = list[tuple[int, Decimal]]


def read_csv(text: str, path: Path) -> Log:
    """The log in the text of the file `path`. Raises `RecordError`."""
    reader = csv.reader(io.StringIO(text))
    try:
        header = [name.strip() for name in next(reader, [])]
        step_column = _step_column(header, path)
        columns: dict[str, Rows] = {}
        not_used: dict[str, None] = {}
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            place = f"line {reader.line_num}"
            if len(row) > len(header):
                met = f"{len(row)} cells, {place} of {path}"
                raise RecordError("a row has at most as many cells as the header", met, _REMEDY)
            step_text = row[step_column] if step_column < len(row) else ""
            step = step_number(number_of(step_text, path, place), path, place)
            for name, cell in zip(header, row, strict=False):
                skipped = name == header[step_column] or name in not_used or not is_value(name)
                if skipped or not cell.strip():
                    continue
                try:
                    value = number_of(cell, path, f"column {name[:40]!r}, {place}")
                except RecordError:
                    if training_quantity(name) or evaluation_metric(name):
                        raise
                    not_used[name] = None
                    continue
                columns.setdefault(name, []).append((step, value))
    except csv.Error as error:
        raise RecordError("a log is a CSV file", f"{error} in {path}", _REMEDY) from None
    for name in not_used:
        columns.pop(name, None)
    return _log(columns, tuple(not_used), path)


def _step_column(header: list[str], path: Path) -> int:
    """The position of the step. Raises `RecordError` if it has none, or a name stands twice."""
    names = [name.lower() for name in header]
    found = next((name for name in _STEP if name in names), None)
    if found is None:
        raise RecordError("a CSV log has a column step", path, _REMEDY)
    if len(set(header)) < len(header):
        raise RecordError("each column of a CSV log has its own name", path, _REMEDY)
    return names.index(found)


def _log(columns: dict[str, Rows], not_used: tuple[str, ...], path: Path) -> Log:
    training: dict[str, Series] = {}
    evaluations: dict[str, Series] = {}
    for name, rows in columns.items():
        quantity = training_quantity(name)
        if quantity in training:
            not_used = (*not_used, name)
            continue
        series = series_of_decimals(name, rows, path)
        if quantity is not None:
            training[quantity] = series
        else:
            evaluations[clean_name(evaluation_metric(name) or name)] = series
    return Log(path, "csv", training, evaluations, tuple(map(clean_name, not_used)))
