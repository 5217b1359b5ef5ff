"""The curves of a pair in numbers."""

from datetime import UTC, datetime
from pathlib import Path

from harness.report.document import Folded, Sentence, Subsection, Table
from harness.report.plots.collect import collect_plots
from harness.report.sections.curves import section
from harness.report.sections.source import Source
from harness.results.report import Report
from tests.support.run_folders import long_report, pair_report

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def pair_of(report: Report, folder: Path) -> Subsection:
    """The subsection of the only pair that has curves."""
    found = section(Source(report, collect_plots(report, folder), NOW))
    assert found is not None
    (pair,) = found.blocks
    assert isinstance(pair, Subsection)
    return pair


def test_the_table_counts_the_steps_that_differ(tmp_path: Path) -> None:
    """The losses differ from step 3 on, by hand; a NaN counts as no difference."""
    folded = pair_of(pair_report(tmp_path), tmp_path).blocks[-1]
    assert isinstance(folded, Folded)
    (table,) = folded.blocks
    assert isinstance(table, Table)
    assert ["4 of 6", "0 of 6", "0 of 6"] == [row[4] for row in table.rows]
    assert ("3", "0.25") == table.rows[0][5:7]


def test_the_reduction_of_many_steps_is_stated(tmp_path: Path) -> None:
    """Of a run with more steps than pixels; of a short run it is not."""
    first, *_ = pair_of(long_report(tmp_path, 100_000, spike=54_321), tmp_path).blocks
    assert isinstance(first, Sentence)
    assert "100000 steps" in first.text
    short = pair_of(pair_report(tmp_path / "short"), tmp_path / "short")
    assert not any(isinstance(block, Sentence) for block in short.blocks)


def test_without_plots_there_is_no_section(tmp_path: Path) -> None:
    """A printer without graphics reads no records."""
    assert section(Source(pair_report(tmp_path), None, NOW)) is None
