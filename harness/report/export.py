"""Curves of records -> CSV, Parquet or TensorBoard: one row for each run and update.

Each row names its run, with what is known of it: case, loop, seed, device, date, commit and
versions. So the files of many runs can be stacked. `harness.results.curves` describes the columns.
CSV holds every digit, and an empty cell where a value was not recorded. TensorBoard holds scalars
in single precision, in one folder for each run.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import RecordError, SpecError, check_known, full_disk_reported
from harness.report.escape import spreadsheet_cell
from harness.results.curves import curve_table, stacked
from harness.results.folders import records_in
from harness.results.imported.event_file import Scalar, scalars_as_bytes
from harness.results.record import HEADER, RunRecord, write_atomically

__all__ = ["EXPORTS", "export"]

EXPORTS = {"csv": "curves.csv", "parquet": "curves.parquet", "tensorboard": "tensorboard"}
"""Format -> the file or folder that is written unless another is named."""


def export(path: Path, to: str, out: Path | None = None) -> Path:
    """Write the curves of a record or output folder, and return the file or folder.

    `out`: None: beside the record or in the output folder. Raises `SpecError` for an unknown
    format or a path that cannot be written, and `RecordError` for a damaged record.
    """
    check_known("format", to, EXPORTS)
    runs = _runs(path)
    is_record = (path / HEADER).is_file()
    target = out or (path.absolute().parent if is_record else path) / EXPORTS[to]
    if out is None and is_record:
        target = target.with_name(f"{path.absolute().name}-{target.name}")
    try:
        with full_disk_reported(target):
            if to == "tensorboard":
                _write_events(runs, target)
            else:
                table = stacked(runs)
                write = _write_csv if to == "csv" else _write_parquet
                _write(target, lambda temporary: write(table, temporary))
    except OSError as error:
        raise SpecError("--out takes a file that can be written", error, "name another") from None
    return target


def _runs(path: Path) -> list[tuple[str, RunRecord]]:
    """The records at `path` by an identifier that differs between the folders of runs."""
    found = records_in(path)
    name = path.absolute().name
    if (path / HEADER).is_file():
        name = "/".join(path.absolute().parts[-3:-2] + path.absolute().parts[-1:])
        return [(name, record) for record in found.values()]
    if not found:
        raise RecordError("an export needs a record", f"none in {path}", "pass another folder")
    return [(f"{name}/{record.folder.name}", record) for record in found.values()]


def _write(target: Path, write: Callable[[Path], object]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as temporary:
        write(temporary)


def _write_csv(table: pa.Table, path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(spreadsheet_cell, table.column_names))
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        writer.writerow(map(spreadsheet_cell, row))
    path.write_text(text.getvalue(), encoding="utf-8", newline="")


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd")


def _write_events(runs: list[tuple[str, RunRecord]], folder: Path) -> None:
    """One folder for each run, with one event file. An event file of an earlier export is replaced.

    Raises `SpecError` if `folder` is not one.
    """
    if folder.exists() and not folder.is_dir():
        raise SpecError("TensorBoard reads a folder", f"the file {folder}", "name a folder")
    for run, record in runs:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", run.rpartition("/")[2]).strip(".") or "run"
        time_s = (record.folder / HEADER).stat().st_mtime
        content = scalars_as_bytes(_scalars(curve_table(record)), time_s)
        file = folder / name / f"events.out.tfevents.{time_s:.0f}.harness"
        _write(file, lambda temporary, content=content: temporary.write_bytes(content))  # type: ignore[misc]  # the default binds now


def _scalars(table: pa.Table) -> Iterator[Scalar]:
    """The numbers of a table, column by column; an evaluation has a group of its own."""
    steps: list[int] = table["step"].to_pylist()
    for name in table.column_names:
        tag = re.sub(r"^eval_", "eval/", name) if name.startswith("eval_") else f"train/{name}"
        values: list[Any] = table[name].to_pylist() if name != "step" else []
        for step, value in zip(steps, values, strict=False):
            if value is not None:
                yield Scalar(tag, step, value)
