"""Where a report comes from: its folder, when, how long, on which machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from harness.results.base import Result

__all__ = ["Origin", "current_origin", "work_begins"]

_BEGAN: ContextVar[float | None] = ContextVar("began", default=None)


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
    )
