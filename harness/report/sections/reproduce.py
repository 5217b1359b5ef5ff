"""The command that makes the report again."""

from __future__ import annotations

import shlex

from harness.report.document import Command, Section
from harness.report.sections.source import Source

__all__ = ["section"]


def section(source: Source) -> Section:
    """The command, to be pasted into a shell."""
    command = Command(shlex.join(source.report.command))
    introduction = "This one command, in the folder where it was given:"
    return Section("reproduce", "To reproduce", (command,), introduction)
