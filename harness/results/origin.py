"""Where a report comes from: its folder, when, how long, on which machine, at which commit.

The commit is that of the folder in which the command was started, which is the user's. The commit
of the harness is part of the environment of each record.
"""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from harness.results.base import Result

__all__ = ["Origin", "current_origin", "work_begins"]

_BEGAN: ContextVar[float | None] = ContextVar("began", default=None)
_PATIENCE_S = 5.0  # for git, in a large repository


class Origin(Result):
    """What tells this report from others of the same command."""

    name: str
    """The name of its folder."""
    started_at: str
    """When the command began, ISO 8601 in UTC."""
    took_s: float
    """Seconds from then until the report was made."""
    host: str
    """The name of the machine; empty in a published report."""
    commit: str | None = None
    """The commit of the folder in which the command was started, with '+' if a file under version
    control differs from it; None if it is not known."""


@contextmanager
def work_begins() -> Iterator[None]:
    """While this is open, reports state that the work on them began now."""
    token = _BEGAN.set(time.time())
    try:
        yield
    finally:
        _BEGAN.reset(token)


def current_origin(folder: Path) -> Origin | None:
    """The origin of a report that is made now in `folder`; None if its work has no beginning."""
    began = _BEGAN.get()
    if began is None:
        return None
    return Origin(
        name=folder.absolute().name,
        started_at=datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        took_s=round(time.time() - began, 3),
        host=platform.node(),
        commit=_commit(),
    )


def _commit() -> str | None:
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return commit if changed == "" else f"{commit}+"


def _git(*words: str) -> str | None:
    try:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True, timeout=_PATIENCE_S
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
