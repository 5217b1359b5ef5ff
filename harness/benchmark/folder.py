"""The output folder of a bench, locked for one bench at a time, with a report of a full disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import SpecError, full_disk_reported
from harness.results.folders import LOCK, locked, new_in_reports
from harness.results.origin import work_begins

__all__ = ["bench_folder", "output_folder"]


@contextmanager
def output_folder(out: Path | None, name: str, resume: bool) -> Iterator[Path]:
    """A folder locked for this bench until it ends. `resume`: continue a stopped bench there.

    The lock is a kernel lock and ends with its process. Raises `SpecError` if another bench uses
    the folder, or if it holds results and `resume` is not set. The files of a refused bench are
    removed. Raises `DiskFull` if the disk is full; files are written atomically.
    """
    folder = out or new_in_reports(f"bench-{name}")
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError("--out takes a writable folder", error, "name another") from None
    try:
        with locked(folder, "bench"):
            fresh = not any(path.name != LOCK for path in folder.iterdir())
            if not resume and not fresh:
                raise _used(folder)
            try:
                with work_begins(), full_disk_reported(folder):
                    yield folder
            except SpecError:
                if fresh:
                    _clear(folder)
                raise
    finally:
        if not existed and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def bench_folder(out: Path | None, name: str, resume: bool) -> Path:
    """The folder that `output_folder` will take, neither made nor locked. Raises `SpecError`."""
    folder = out or new_in_reports(f"bench-{name}")
    if folder.exists() and not (folder.is_dir() and (resume or not any(folder.iterdir()))):
        raise _used(folder)
    return folder


def _used(folder: Path) -> SpecError:
    remedy = "name another, or pass --resume to continue there"
    return SpecError("--out takes a new or empty folder", folder, remedy)


def _clear(folder: Path) -> None:
    for content in folder.iterdir():
        if content.is_dir():
            shutil.rmtree(content)
        elif content.name != LOCK:
            content.unlink()
