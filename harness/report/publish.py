"""Copies a run's output folder to where published reports stand, thinned to a size fit for a repo.

Verdicts, reports, the sessions of a bench and the per-step traces are kept whole. Only the
per-tensor traces are thinned: they serve to name the tensor once a step is found, so every k-th
step is enough to look at.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePath

import numpy as np

from harness.errors import SpecError
from harness.report.text.summary import without_options
from harness.report.write import write
from harness.results.arrow import as_numpy
from harness.results.record import Header, RecordWriter, RunRecord
from harness.results.report import Report
from harness.results.sessions import FOLDER as SESSIONS

__all__ = ["publish"]

_LIMIT_BYTES = 3_000_000
_LEFT_OUT = 0
_THINNED = ("tensors", "sketches", "norms")
_STRIDES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, _LEFT_OUT)


def publish(run_folder: Path, target: Path, limit_bytes: int = _LIMIT_BYTES) -> str:
    """Copy the run in `run_folder` to `target`; say what became of its per-tensor trace.

    Raises `SpecError` where `target` exists or nothing fits into `limit_bytes`.
    """
    report = Report.read(run_folder)
    places = {run.record: _place_of(run.record) for run in report.runs}
    runs = tuple(run.model_copy(update={"record": places[run.record]}) for run in report.runs)
    # Who repeats it begins in folders of their own.
    command = without_options(report.command, ("--out", "--environments"))
    command = tuple(word for word in command if word != "--resume")
    published = report.model_copy(update={"command": command, "runs": runs})
    if target.exists():
        raise SpecError("a published report has a new name", target, "pass another")
    for stride in _STRIDES:
        try:
            target.mkdir(parents=True)
            for run in report.runs:
                _copy_thinned(
                    RunRecord(run_folder / run.record), target / places[run.record], stride
                )
            for case in report.bench:
                for place in ("", case):
                    _copy_sessions(run_folder / place / SESSIONS, target / place / SESSIONS)
            write(published, target)
            size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
            if size <= limit_bytes:
                return _told(stride)
        except BaseException:
            shutil.rmtree(target)
            raise
        shutil.rmtree(target)
    raise SpecError(
        f"a published report stays under {limit_bytes} bytes", size, "publish fewer runs"
    )


def _copy_sessions(source: Path, target: Path) -> None:
    """What a bench measured, whole: one small file a session."""
    for path in sorted(source.glob("*.parquet")):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.name)


def _place_of(record: str) -> str:
    """Where a record goes in the copy; one that lies outside the run's folder is taken in."""
    path = PurePath(record)
    if ".." not in path.parts and not path.is_absolute():
        return record
    parts = [part for part in path.parts if part not in ("..", "records", path.anchor)]
    return f"records/{'-'.join(parts)}"


def _told(stride: int) -> str:
    if stride == _LEFT_OUT:
        return "left out"
    return "whole" if stride == 1 else f"every {stride} steps"


def _copy_thinned(record: RunRecord, folder: Path, stride: int) -> None:
    writer = RecordWriter(folder)
    for name in record.header.traces:
        table = record.trace(name)
        if name in _THINNED and stride == _LEFT_OUT:
            continue
        if name in _THINNED:
            steps = as_numpy(table["step"])
            table = table.filter(np.isin(steps, (0, 1)) | (steps % stride == 0))
        writer.add_table(name, table)
    header = record.header.model_dump()
    writer.close(Header.model_validate({**header, "tensors_every": max(1, stride)}))
