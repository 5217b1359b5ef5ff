"""The tree of errors that the harness raises on purpose.

An error's text is one line: the rule, the value met, the remedy. Nothing here prints or exits; the
command line turns the classes into exit codes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "HarnessError",
    "LoopUnavailable",
    "RecordError",
    "RunFailed",
    "SpecError",
    "check_known",
    "unknown_name",
]


class HarnessError(Exception):
    """Root of the tree. Carries one line for the user."""

    def __init__(self, rule: str, met: object = None, remedy: str = "") -> None:
        parts = [rule if met is None else f"{rule} (met {met})"]
        if remedy:
            parts.append(remedy)
        super().__init__(" ".join(": ".join(parts).split()))


class SpecError(HarnessError):
    """What was asked for cannot be run as asked: wrong use, found before any work is lost."""


class LoopUnavailable(SpecError):
    """A loop exists but what it stands on (a library, a device) is missing here."""


class RecordError(HarnessError):
    """A file is not a record that this version can read, or it was damaged."""


class RunFailed(HarnessError):
    """A worker started and did not finish."""


def unknown_name(
    kind: str, name: str, known: Iterable[str], error: type[HarnessError] = SpecError
) -> HarnessError:
    """The error for a name that is not known: lists the known ones, the nearest first."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return error(f"unknown {kind}", repr(name), f"{hint}known: {', '.join(names)}")


def check_known(kind: str, name: object, known: Iterable[str]) -> None:
    """Raise `SpecError` if `name` is none of the known names."""
    if name not in (names := list(known)):
        raise unknown_name(kind, str(name), names)
