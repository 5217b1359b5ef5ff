"""The plots of a bench, with its sessions and without."""

from pathlib import Path

from harness.report.plots.benchmark import plot_bench
from tests.support.run_folders import timed_report


def test_a_bench_has_its_plots(tmp_path: Path) -> None:
    """Ratios, rounds and memory; without sessions only what the report itself holds."""
    report = timed_report(tmp_path)
    drawn = plot_bench(report, "tiny", tmp_path, "bench-1")
    names = [plot.name for plot in drawn.plots()]
    assert ["bench-1-ratios", "bench-1-rounds", "bench-1-memory"] == names
    assert drawn.rounds is not None
    assert "over 15 rounds of 3 sessions" in drawn.rounds.title

    alone = plot_bench(report, "tiny", tmp_path / "elsewhere", "bench-1")
    assert ["bench-1-ratios", "bench-1-memory"] == [plot.name for plot in alone.plots()]
    assert "the sessions are missing" in alone.note


def test_a_damaged_session_is_reported(tmp_path: Path) -> None:
    """The report has no plot of the rounds."""
    report = timed_report(tmp_path)
    (tmp_path / "sessions/002.parquet").write_bytes(b"cut")
    assert "cannot be read" in plot_bench(report, "tiny", tmp_path, "bench").note


def test_several_cases_have_their_sessions_in_folders(tmp_path: Path) -> None:
    """As a bench of several cases leaves them."""
    report = timed_report(tmp_path / "tiny")
    assert 3 == len(plot_bench(report, "tiny", tmp_path, "bench").sessions)
