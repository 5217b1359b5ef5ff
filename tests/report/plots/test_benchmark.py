"""The panels of a bench and of a baseline: what was left out, lost, compared, and how old it is."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.report.plots.benchmark import bench_panel, left_out
from harness.report.text.regression import counts
from harness.report.text.regression_rows import age, key_rows, lists, value
from harness.results.regression import UsedBaseline
from harness.results.sessions import Session
from tests.support.bench_sessions import block
from tests.support.judged_reports import bench_report, gated_report
from tests.support.run_folders import timed_report

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def session(ratios: list[float], delay_s: float | None = 0.1) -> Session:
    """One round a ratio, of the trainer against plain."""
    blocks = [
        block(arm, number, wall_s=0.4 * times + (delay_s or 0.0), delay_s=delay_s)
        for number, ratio in enumerate(ratios, start=1)
        for arm, times in (("plain", 1.0), ("trainer", ratio), ("control", 1.0))
    ]
    return Session(1, "a plan", tuple(blocks), {}, took_s=20.0)


def test_the_rounds_left_out_are_those_of_a_trimmed_mean() -> None:
    """A fifth of ten rounds at each end, by hand: rounds 1 and 3 above, 2 and 5 below."""
    ratios = [1.9, 0.5, 1.8, 1.01, 0.6, 1.02, 1.03, 1.04, 1.05, 1.06]
    assert [1, 2, 3, 5] == left_out(session(ratios), "plain", "trainer", "own_step_s")
    assert [] == left_out(session(ratios[:4]), "plain", "trainer", "own_step_s")


def test_a_session_tells_what_others_took(tmp_path: Path) -> None:
    """Of blocks of 0.4 s each lost 0.1 s more: 0.1 / 0.5, by hand."""
    session([1.0] * 5).write(tmp_path / "sessions")
    panel = bench_panel(bench_report(), "tiny", tmp_path, "bench")
    assert "20.0%" == panel.rows[0][3]
    assert "trainer 1, 5; control 1, 5" == panel.rows[0][5]

    session([1.0] * 5, delay_s=None).write(tmp_path / "sessions")
    silent = bench_report()
    on_wall = silent.bench["tiny"].model_copy(update={"statistic": "step_s"})
    silent = silent.model_copy(update={"bench": {"tiny": on_wall}})
    assert "not told" == bench_panel(silent, "tiny", tmp_path, "bench").rows[0][3]


def test_a_bench_has_its_plots(tmp_path: Path) -> None:
    """Ratios, rounds and memory; without sessions only what the report itself holds."""
    report = timed_report(tmp_path)
    panel = bench_panel(report, "tiny", tmp_path, "bench-1")
    names = [plot.name for plot in panel.plots]
    assert ["bench-1-ratios", "bench-1-rounds", "bench-1-memory"] == names
    assert "over 15 rounds of 3 sessions" in panel.plots[1].title

    alone = bench_panel(report, "tiny", tmp_path / "elsewhere", "bench-1")
    assert ["bench-1-ratios", "bench-1-memory"] == [plot.name for plot in alone.plots]
    assert "not at hand" in alone.note


def test_a_session_that_was_cut_is_told(tmp_path: Path) -> None:
    """The page stands without the rounds."""
    report = timed_report(tmp_path)
    (tmp_path / "sessions/002.parquet").write_bytes(b"cut")
    assert "cannot be read" in bench_panel(report, "tiny", tmp_path, "bench").note


def test_several_cases_have_their_sessions_in_folders(tmp_path: Path) -> None:
    """As a bench of several cases leaves them."""
    report = timed_report(tmp_path / "tiny")
    assert 3 == len(bench_panel(report, "tiny", tmp_path, "bench").rows)


def test_the_lists_of_a_gate_stand_worst_first() -> None:
    """Each with its items; the sentence counts them."""
    gate = gated_report().gate
    assert gate is not None
    names = ["regressed", "improved", "unchanged", "inconclusive", "not_comparable", "missing"]
    assert names == [name for name, _ in lists(gate)]
    assert "1 regressed, 1 improved" in counts(gate)
    assert ("tiny", "trainer", "steps", "6", "7", "", "", "steps: regressed") in dict(lists(gate))[
        "regressed"
    ]
    assert "nothing was held" in counts(gate.model_copy(update={"items": ()}))


@pytest.mark.parametrize(
    ("accepted_at", "expected"),
    [
        ("2026-11-22T11:00:00+00:00", "2026-11-22, 1 day before"),
        ("2026-11-01T12:00:00+02:00", "2026-11-01, 22 days before"),
        ("2026-11-23T00:00:00", "2026-11-23, 0 days before"),
        ("2027-01-01T00:00:00+00:00", "2027-01-01, which this machine's clock has yet to reach"),
        ("yesterday", "yesterday, which is no date"),
        (None, "not told"),
    ],
)
def test_the_age_of_a_baseline(accepted_at: str | None, expected: str) -> None:
    """In days; a clock that was set back is told."""
    used = UsedBaseline(case="tiny", file="f", machine_class="m", accepted_at=accepted_at)
    assert age(used, NOW).startswith(expected)


def test_fields_of_the_key_are_told_by_name() -> None:
    """In order, with both values."""
    differing = {"torch": ("2.12", "2.13"), "threads": (1, 2)}
    used = UsedBaseline(case="c", file="f", machine_class="m", key_differences=differing)
    assert [("threads", "1", "2"), ("torch", "2.12", "2.13")] == key_rows(used)


@pytest.mark.parametrize(
    ("found", "unit", "expected"),
    [
        (None, "s", ""),
        (1377, "", "1377"),
        (123456789, "", "123456789"),
        (2**30, "B", "1 GiB"),
        (0.25, "s", "250 ms"),
        (0.1 + 0.2, "", "0.3"),
        (True, "", "True"),
        ("abc", "", "abc"),
    ],
)
def test_values_of_a_gate_keep_what_is_exact(found: Any, unit: str, expected: str) -> None:
    """Counts are whole; sizes and times are scaled."""
    assert expected == value(found, unit)
