"""The test that runs now, if pytest runs: where its reports go, and who is notified of them.

The pytest plugin sets it. This module imports nothing, so that the plugin starts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CurrentTest", "current", "set_current"]

_current: list[CurrentTest] = []


class CurrentTest(Protocol):
    """A test of pytest."""

    def new_report_folder(self) -> Path:
        """A path at which nothing is, for the report of a comparison."""

    def attach(self, report: Path) -> None:
        """Show the path of a report with the result of the test."""


def current() -> CurrentTest | None:
    """The test that runs in this process; None: there is none, or the plugin is not active."""
    return _current[-1] if _current else None


def set_current(test: CurrentTest | None) -> None:
    """Note which test runs; None: it has ended."""
    if test is not None:
        _current.append(test)
    elif _current:
        _current.pop()
