"""Suites go on past what is refused, and go on where they were stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from harness.report.model import Report
from harness.session import run_cases
from harness.spec import Case
from tests.small_runs import small_case, write_pairs

pytestmark = pytest.mark.slow


def run_suite(cases: list[Case], out: Path) -> Report:
    """Two runs of the plain loop on each case, as a suite."""
    report, _ = run_cases(
        cases,
        ["plain", "plain"],
        "matched",
        None,
        out,
        ["harness"],
        Console(quiet=True),
        suite=True,
    )
    return report


def test_a_suite_goes_on_past_a_refusal_and_where_it_stopped(tmp_path: Path) -> None:
    """A case that is refused has failed with its reason; what was done is not done again."""
    good = small_case(write_pairs(tmp_path / "data"), max_steps=3)
    bad = good.model_copy(
        update={"name": "bad", "recipe": good.recipe.model_copy(update={"frozen": "nothing.such"})}
    )
    report = run_suite([bad, good], tmp_path / "out")
    outcomes = {pair.case: pair.outcome for pair in report.comparisons}
    assert {"bad": "incomparable", "paraphrase": "identical"} == outcomes
    assert "failed" == report.verdict
    assert all("nothing.such" in (run.error or "") for run in report.runs if run.case == "bad")

    records = sorted((tmp_path / "out" / "records").glob("*/record.json"))
    before = {path: path.stat().st_mtime_ns for path in records}
    run_suite([bad, good], tmp_path / "out")
    again = {path for path in records if path.stat().st_mtime_ns != before[path]}
    assert {"bad-plain", "bad-plain-2"} == {path.parent.name for path in again}
