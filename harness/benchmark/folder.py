"""The output folder of a bench: one bench at a time works in it, and a full disk is told of."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import RunFailed, SpecError

__all__ = ["output_folder"]

_LOCK = ".lock"


@contextmanager
def output_folder(out: Path | None, name: str, resume: bool) -> Iterator[Path]:
    """A folder that is this bench's alone until the end; `resume`: as another one left it.

    The lock is the kernel's and ends with the process that holds it, however that ends. Raises
    `SpecError` where another bench is at work there, or where results are that are not to be gone
    on with; what was made for a refused bench is removed. Raises `RunFailed` where the disk is
    full; files are written whole or not at all.
    """
    folder = out or _unused(name)
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError("--out takes a folder that can be made", error, "name another") from None
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        rule = "one bench at a time works in a folder"
        raise SpecError(rule, f"another one is at work in {folder}", "name another") from None
    except OSError as error:
        raise SpecError("--out takes a folder to write in", error, "name another") from None
    try:
        if not resume and any(path.name != _LOCK for path in folder.iterdir()):
            raise SpecError(
                "--out takes a new or empty folder",
                folder,
                "name another, or pass --resume to go on there",
            )
        fresh = not any(path.name != _LOCK for path in folder.iterdir())
        try:
            yield folder
        except SpecError:
            if fresh:
                _clear(folder)
            raise
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise RunFailed(
                "results need room on the disk",
                f"{folder}: {error.strerror}",
                "make room; --resume goes on with the sessions that are there",
            ) from None
    finally:
        lock.release()
        (folder / _LOCK).unlink(missing_ok=True)
        if not existed and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _unused(name: str) -> Path:
    first = Path("reports") / f"{datetime.now():%Y%m%d-%H%M%S}-bench-{name}"
    folder, number = first, 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


def _clear(folder: Path) -> None:
    for content in folder.iterdir():
        if content.is_dir():
            shutil.rmtree(content)
        elif content.name != _LOCK:
            content.unlink()
