"""Suites go on past what is refused, and go on where they were stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from harness.comparison.compare_folders import compare_folders
from harness.comparison.run import run_cases
from harness.results.metrics import Margin
from harness.results.report import Report
from harness.spec.case import Case
from harness.spec.request import RunRequest
from tests.support.small_runs import small_case, write_pairs

pytestmark = pytest.mark.slow


def run_suite(cases: list[Case], out: Path) -> Report:
    """Two runs of the plain loop on each case, as a suite."""
    request = RunRequest(cases=tuple(cases), loops=("plain", "plain"), out=out, keep_going=True)
    report, _ = run_cases(request, Console(quiet=True))
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


def test_seeds_are_one_comparison_a_pair(tmp_path: Path) -> None:
    """Two loops on three seeds: matched they are identical with each seed, and native they part in
    bits, so that the metrics decide. Two such folders are compared seed by seed; the Trainer's own
    habits change nothing on this case."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=4)
    out = tmp_path / "matched"
    margins = {"accuracy": Margin(1.0), "f1": Margin(5.0), "loss": Margin(2.0)}
    quiet = Console(quiet=True)
    request = RunRequest(cases=(case,), loops=("plain", "trainer"), seeds=3, out=out)
    report, _ = run_cases(request, quiet)
    (found,) = report.comparisons

    assert ("equivalent", "identical") == (report.verdict, found.outcome)
    assert [(42, "identical"), (43, "identical"), (44, "identical")] == [
        (seed.seed, seed.outcome) for seed in found.seeds
    ]
    assert {(0.0, 0.0)} == {finding.interval for finding in found.findings}
    assert 3 == len({run.final_metrics["loss"] for run in report.runs})
    assert {"paraphrase"} == {run.case for run in report.runs}
    assert [42, 43, 44] == report.recipes["paraphrase"]["seed"]

    native = tmp_path / "native"
    request = RunRequest(
        cases=(case,),
        loops=("plain", "trainer"),
        conventions="native",
        seeds=3,
        margins={"accuracy": 1.0, "f1": 5.0, "loss": 2.0},
        out=native,
    )
    again, _ = run_cases(request, quiet)
    (found,) = again.comparisons
    assert {"different"} == {seed.outcome for seed in found.seeds}
    assert "identical" != found.outcome
    assert "paired" in found.test
    (loss,) = (finding for finding in found.findings if finding.metric == "loss")
    assert loss.interval is not None
    assert loss.interval[0] < loss.interval[1]
    assert 2.0 == loss.margin

    both, _ = compare_folders(out, native, tmp_path / "both", ["harness"], margins)
    outcomes = {pair.candidate: {seed.outcome for seed in pair.seeds} for pair in both.comparisons}
    assert {"native: plain": {"different"}, "native: trainer": {"identical"}} == outcomes
    same, _ = compare_folders(out, out, tmp_path / "same", ["harness"])
    assert "equivalent" == same.verdict
    assert 2 == len(same.comparisons)
