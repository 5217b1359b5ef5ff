"""Reads the log of a run that was not traced, whatever its format."""

from __future__ import annotations

from pathlib import Path

from harness.errors import RecordError
from harness.results.imported.csv_log import read_csv
from harness.results.imported.log import Log
from harness.results.imported.tensorboard import EVENT_FILE, event_files, read_events
from harness.results.imported.trainer_state import STATE_FILE, read_trainer_state
from harness.results.record import HEADER
from harness.results.report import REPORT_FILE

__all__ = ["is_log", "read_log"]

_MOST_BYTES = 1 << 28
_FORMS = f"a {STATE_FILE}, a CSV file, or an event file or log folder of TensorBoard"
_REMEDY = "pass such a file, the folder of a run, or a record"


def is_log(path: Path) -> bool:
    """Whether `path` is to be read as a log: a file, or a folder that holds one and no record."""
    if path.is_dir():
        held = any((path / name).is_file() for name in (HEADER, REPORT_FILE))
        return not held and ((path / STATE_FILE).is_file() or bool(event_files(path)))
    return path.exists()


def read_log(path: Path) -> Log:
    """The log at `path`. Raises `RecordError` if it is none, or damaged."""
    try:
        log = _read(path)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise RecordError("a log is a readable file", f"{path}: {reason}", _REMEDY) from None
    if not (log.training or log.evaluations):
        raise RecordError("a log holds losses or other metrics by step", path, _REMEDY)
    return log


def _read(path: Path) -> Log:
    if path.is_dir():
        if not (path / STATE_FILE).is_file():
            return read_events(event_files(path), path)
        path = path / STATE_FILE
    if not path.is_file():
        raise RecordError(f"a log is {_FORMS}", path, _REMEDY)
    if EVENT_FILE in path.name:
        return read_events([path], path)
    if path.suffix.lower() in (".py", ".sh", ".ipynb"):
        remedy = f"trace its command first: harness trace --out DIR -- python {path}"
        raise RecordError("a script has no values before it is traced", path, remedy)
    if path.suffix.lower() not in (".json", ".csv"):
        raise RecordError(f"a log is {_FORMS}", path, _REMEDY)
    if path.stat().st_size > _MOST_BYTES:
        met = f"{path.stat().st_size} bytes in {path}"
        raise RecordError(f"a log has at most {_MOST_BYTES} bytes", met, "leave out columns")
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".json":
        return read_trainer_state(text, path)
    return read_csv(text, path)
