"""Copies the report of an output folder to the published reports, at a size fit for a repository.

A published report is its page, Markdown and JSON. On request the records, the sessions of a bench
and the other files come with it. Then per-step traces are whole, and per-tensor traces are thinned
to every k-th step until the folder is small enough: they only name a tensor of a known step.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePath

import numpy as np

from harness.errors import SpecError
from harness.report.text.summary import without_options
from harness.report.write import FORMATS, write
from harness.results.arrow import as_numpy
from harness.results.record import Header, RecordWriter, RunRecord, write_atomically
from harness.results.report import REPORT_FILE, Report
from harness.results.sessions import FOLDER as SESSIONS

__all__ = ["publish"]

_LIMIT_BYTES = 3_000_000
_LEFT_OUT = 0
_THINNED = ("tensors", "sketches", "norms")
_STRIDES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, _LEFT_OUT)
_WITHOUT_RECORDS = {FORMATS[name] for name in ("html", "md", "json")}


def publish(
    run_folder: Path, target: Path, records: bool = False, limit_bytes: int = _LIMIT_BYTES
) -> str:
    """Copy the report in `run_folder` to `target`; return what the copy holds.

    `records`: copy also records, sessions, plots and tables. Raises `SpecError` if `target` exists
    or the copy exceeds `limit_bytes`.
    """
    report = Report.read(run_folder)
    places = {run.record: _place_of(run.record) for run in report.runs}
    runs = tuple(run.model_copy(update={"record": places[run.record]}) for run in report.runs)
    # Whoever repeats the command chooses these folders.
    command = without_options(report.command, ("--out", "--environments"))
    command = tuple(word for word in command if word != "--resume")
    origin = report.origin and report.origin.model_copy(update={"host": ""})
    published = report.model_copy(update={"command": command, "runs": runs, "origin": origin})
    if target.exists():
        raise SpecError("a published report has a new name", target, "pass another")
    for stride in _STRIDES if records else _STRIDES[:1]:
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
            if not records:
                _drop_records(published, target)
            size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
            if size <= limit_bytes:
                return _content(records, stride)
        except BaseException:
            shutil.rmtree(target)
            raise
        shutil.rmtree(target)
    raise SpecError(
        f"a published report stays below {limit_bytes} bytes", size, "publish fewer runs"
    )


def _drop_records(report: Report, target: Path) -> None:
    """Keep the pages, which already show the curves, and write the JSON without indentation."""
    for path in target.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in _WITHOUT_RECORDS:
            path.unlink()
    with write_atomically(target / REPORT_FILE) as temporary:
        temporary.write_text(report.model_dump_json() + "\n", encoding="utf-8")


def _copy_sessions(source: Path, target: Path) -> None:
    """Copy the sessions of a bench whole: one small file for each session."""
    for path in sorted(source.glob("*.parquet")):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.name)


def _place_of(record: str) -> str:
    """The record's place in the copy, also for a record outside the run's folder."""
    path = PurePath(record)
    if ".." not in path.parts and not path.is_absolute():
        return record
    parts = [part for part in path.parts if part not in ("..", "records", path.anchor)]
    return f"records/{'-'.join(parts)}"


def _content(records: bool, stride: int) -> str:
    if not records:
        return "page, Markdown and JSON"
    if stride == _LEFT_OUT:
        return "with records, without per-tensor traces"
    return f"with records, per-tensor traces every {stride} steps" if stride > 1 else "with records"


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
