"""The table of the runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.report.document import Table
from harness.report.sections.runs import section
from harness.report.sections.source import Source
from tests.support.small_report import run, small_report


@pytest.mark.parametrize("conventions", ["matched", ""])
def test_epochs_of_a_command_have_no_column(conventions: str) -> None:
    """They are not known. The control: a loop that ended before its first step made none."""
    report = small_report(runs=(run("plain", epochs=0.0, conventions=conventions),))
    found = section(Source(report, None, datetime(2026, 11, 28, tzinfo=UTC)))
    assert found is not None
    table = found.blocks[0]
    assert isinstance(table, Table)
    assert bool(conventions) == ("epochs" in [column.heading for column in table.columns])
