"""The command that makes the report."""

from __future__ import annotations

import shlex

from harness.report.document import Command, Section
from harness.report.sections.source import Source
from harness.report.text.summary import without_out

__all__ = ["section"]


def section(source: Source) -> Section | None:
    """The command, to be pasted into a shell: it writes to a new folder."""
    words = [word for word in without_out(source.report.command) if word != "--resume"]
    if not words:
        return None
    introduction = "Run this command in the folder where it was first run:"
    return Section("reproduce", "To reproduce", (Command(shlex.join(words)),), introduction)
