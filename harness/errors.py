"""The errors that the harness raises on purpose.

The text of an error is one line: the rule, the value met, the remedy. Nothing here prints or exits;
the command line turns the classes into exit codes.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = [
    "NO_SPACE",
    "DiskFull",
    "HarnessError",
    "LoopError",
    "LoopUnavailable",
    "RecordError",
    "RunFailed",
    "SpecError",
    "check_known",
    "full_disk_reported",
    "is_disk_full",
    "unknown_name",
]


class HarnessError(Exception):
    """The base of all errors, with one line for the user."""

    def __init__(self, rule: str, met: object = None, remedy: str = "") -> None:
        parts = [rule if met is None else f"{rule} (met {met})"]
        if remedy:
            parts.append(remedy)
        super().__init__(" ".join(": ".join(parts).split()))


class SpecError(HarnessError):
    """A request is invalid: wrong use, found before any work is done."""


class LoopUnavailable(SpecError):
    """A loop exists, but a library or device that it needs is missing."""


class LoopError(HarnessError):
    """A loop breaks its contract while it trains: its run has failed."""


class RecordError(HarnessError):
    """A file is not a readable record of this version, or it is damaged."""


class RunFailed(HarnessError):
    """A worker started and did not finish."""


NO_SPACE = "no space was left on the disk"
"""Why a process of a traced command left no record, as it reports it."""


class DiskFull(RunFailed):
    """Results could not be written for lack of space. No report is made of what is incomplete."""

    def __init__(self, place: object) -> None:
        super().__init__(
            "results need space on the disk",
            f"no space left for {place}",
            "free some space; harness run and harness bench continue with --resume",
        )


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def full_disk_reported(place: object) -> Iterator[None]:
    """Raise `DiskFull` in place of an error of the operating system that says so."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFull(place) from None


def unknown_name(
    kind: str, name: str, known: Iterable[str], error: type[HarnessError] = SpecError
) -> HarnessError:
    """The error for an unknown name; it lists the known ones, the nearest first."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return error(f"unknown {kind}", repr(name), f"{hint}known: {', '.join(names)}")


def check_known(kind: str, name: object, known: Iterable[str]) -> None:
    """Raise `SpecError` if `name` is not one of the known names."""
    if name not in (names := list(known)):
        raise unknown_name(kind, str(name), names)
