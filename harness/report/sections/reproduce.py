"""The command that makes the report."""

from __future__ import annotations

import shlex

from harness.report.document import Command, Section
from harness.report.sections.source import Source

__all__ = ["section"]


def section(source: Source) -> Section:
    """The command, to be pasted into a shell."""
    command = Command(shlex.join(source.report.command))
    introduction = "Run this command in the folder where it was first run:"
    return Section("reproduce", "Reproduce", (command,), introduction)
