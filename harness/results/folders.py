"""Output folders: creates them, and reads their records."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import DiskFull, RecordError, SpecError, full_disk_reported, is_disk_full
from harness.results.origin import work_begins
from harness.results.record import HEADER, RunRecord
from harness.results.report import REPORT_FILE, Report

__all__ = [
    "DEFAULT_PARENT",
    "LOCK",
    "RECORDS",
    "RunRecords",
    "check_unused",
    "folder_labels",
    "locked",
    "new_in_reports",
    "output_folder",
    "records_in",
]

RunRecords = dict[tuple[str, str], RunRecord]
"""Records by case and label."""


def folder_labels(one: Path, two: Path) -> tuple[str, str]:
    """Short labels that distinguish two folders."""
    if one.name != two.name:
        return one.name, two.name
    return str(one), str(two)


def records_in(path: Path) -> RunRecords:
    """The records at `path`, which is a record or an output folder.

    Raises `SpecError` if there is no such folder, and `RecordError` if it is neither.
    """
    if (path / HEADER).is_file():
        record = RunRecord(path)
        return {(record.spec.case_name, record.spec.run_label): record}
    if not path.is_dir():
        raise SpecError("a record or run folder must exist", path, "check the path")
    if not (path / REPORT_FILE).is_file():
        if (path / RECORDS).is_dir() or (path / UNFINISHED).is_dir():
            raise RecordError(
                "only a run that has ended can be read",
                f"{path}, which has no {REPORT_FILE} yet",
                "wait for its end; harness run continues a stopped one with --resume",
            )
        raise RecordError(
            f"a run folder holds a {REPORT_FILE}, a record a {HEADER}", path, "pass one of those"
        )
    found = {}
    for run in Report.read(path).runs:
        record = RunRecord(path / run.record)
        found[record.spec.case_name, run.loop] = record
    return found


def new_in_reports(name: str) -> Path:
    """The path of a folder in `reports/` that does not exist yet."""
    first = folder = Path("reports") / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    number = 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


def check_unused(folder: Path, resumable: bool = False) -> None:
    """Raise `SpecError` if `folder` holds anything. `resumable`: see `output_folder`."""
    if folder.exists() and (not folder.is_dir() or any(p.name != LOCK for p in folder.iterdir())):
        remedy = "name another, or empty it"
        if resumable and (folder / RECORDS).is_dir():
            remedy = "name another, or pass --resume to continue there"
        raise SpecError("--out takes a new or empty folder", folder, remedy)


@contextmanager
def locked(folder: Path, command: str) -> Iterator[None]:
    """Inside, `folder` belongs to one command. It is a kernel lock, which ends with its process.

    `command`: what works there. Raises `SpecError` if another one does, and `DiskFull`.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        rule = f"one {command} at a time works in a folder"
        raise SpecError(
            rule, f"another one uses {folder}", "wait for it, or name another"
        ) from None
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(folder) from None
        raise SpecError("--out takes a writable folder", error, "name another") from None
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


@contextmanager
def output_folder(
    out: Path | None, name: str, again: bool = False, resumable: bool = False
) -> Iterator[Path]:
    """Create a new folder, and remove it again if the body raises `SpecError` or `RecordError`.

    It is also removed if the body leaves no file in it.
    With `again` it may be the folder of a stopped run, which is never removed. `resumable`: the
    command has the option --resume, which a refusal then names, and one such command at a time
    works in a folder. Raises `DiskFull` if the disk is full; then the folder is removed unless it
    holds a record.
    """
    folder = out or new_in_reports(name)
    if again and (folder / RECORDS).is_dir():
        with _alone(folder, resumable), work_begins(), full_disk_reported(folder):
            yield folder
        return
    check_unused(folder, resumable)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with full_disk_reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError("--out takes a folder that can be created", error, "name another") from None
    with _alone(folder, resumable):
        try:
            with work_begins(), full_disk_reported(folder):
                yield folder
        except (SpecError, RecordError, DiskFull) as error:
            if isinstance(error, DiskFull) and any(folder.glob(f"**/{HEADER}")):
                raise
            _remove(folder, existing)
            raise
        if not any(path.is_file() for path in folder.rglob("*")):
            _remove(folder, existing)


def _remove(folder: Path, existing: Path) -> None:
    """Remove a folder, and its parents up to the one that existed before."""
    for content in folder.iterdir():
        shutil.rmtree(content) if content.is_dir() else content.unlink()
    for made in (folder, *folder.absolute().parents):
        if made.absolute() == existing.absolute():
            break
        made.rmdir()


def _alone(folder: Path, resumable: bool) -> AbstractContextManager[None]:
    return locked(folder, "run") if resumable else nullcontext()


DEFAULT_PARENT = Path("reports")
"""The folder of output folders that the user does not name."""
LOCK = ".lock"
"""The file that a command locks while it works in its output folder."""
RECORDS = "records"
"""The folder of records within an output folder."""
UNFINISHED = ".trace"
"""The folder of a traced command within its output folder, while the command runs."""
