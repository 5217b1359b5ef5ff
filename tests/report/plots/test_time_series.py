"""Curves are what the records hold; of many steps no extreme value is lost."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.plots.collect import collect_plots
from harness.report.plots.time_series import (
    COLUMNS,
    Candidate,
    Curve,
    TimeSeries,
    non_finite,
    read_curves,
    reduced,
)
from harness.results.report import Report
from tests.support.run_folders import differing, long_report, pair_report
from tests.support.small_report import IDENTICAL, seeds_report, small_report


def course(values: list[float]) -> TimeSeries:
    return TimeSeries(np.arange(1.0, len(values) + 1), np.array(values))


def test_curves_are_those_of_the_records(tmp_path: Path) -> None:
    """The loss of a step is the mean of its micro-batches: 0.75 / step + 1.5 / 16, by hand."""
    (group,) = read_curves(pair_report(tmp_path), tmp_path).groups
    loss, rate, norm = group.curves
    (trainer,) = loss.candidates

    assert [0.75 / step + 1.5 / 16 for step in range(1, 7)] == pytest.approx(loss.reference.values)
    assert [0, 0, 0.25, 0.25, 0.25, 0.25] == pytest.approx(loss.difference(trainer).values)
    assert [5e-5 * (1 - step / 6) for step in range(6)] == pytest.approx(
        rate.candidates[0].series.values
    )
    assert [2.0, 1.0, 2 / 3, 0.5] == pytest.approx(norm.candidates[0].series.values[:4])
    assert (3, 6) == (trainer.first_step, group.steps)


def test_a_value_that_is_not_finite_is_reported_and_makes_no_difference(tmp_path: Path) -> None:
    """NaN is no number to be far from: it is named, with its step."""
    (group,) = read_curves(pair_report(tmp_path), tmp_path).groups
    norm = group.curves[2]
    (trainer,) = norm.candidates

    assert "not finite at 1 step, first at step 5" == non_finite([norm.reference, trainer.series])
    assert "" == non_finite([norm.reference])
    assert np.isnan(norm.difference(trainer).values[4])


def test_runs_of_other_lengths_are_compared_where_both_are() -> None:
    """A step that only one took has no difference."""
    shorter = Candidate(IDENTICAL, None, course([1, 5]))
    curve = Curve("loss", "loss", course([1, 2, 3]), (shorter,))
    difference = curve.difference(shorter)
    assert ([1, 2], [0, 3]) == (difference.steps.tolist(), difference.values.tolist())


@given(st.integers(1, 40), st.integers(1, 400), st.integers(0, 10_000), st.floats(0, 0.9))
def test_no_extreme_value_is_lost(columns: int, count: int, seed: int, missing: float) -> None:
    """Each stretch keeps its highest and lowest value, at their steps and in order."""
    random = np.random.default_rng(seed)
    values = random.normal(size=count)
    values[random.random(count) < missing] = np.nan
    whole = TimeSeries(np.arange(1.0, count + 1), values)
    kept = reduced(whole, columns)

    assert len(kept.steps) <= max(2 * columns, 1) or count <= 2 * columns
    assert np.all(np.diff(kept.steps) > 0)
    assert np.array_equal(values[kept.steps.astype(int) - 1], kept.values, equal_nan=True)
    width = -(-count // columns) if count > 2 * columns else 1
    for begin in range(0, count, width):
        stretch = values[begin : begin + width]
        inside = kept.values[(kept.steps > begin) & (kept.steps <= begin + width)]
        if not np.isnan(stretch).all():
            assert np.nanmax(stretch) == np.nanmax(inside)
            assert np.nanmin(stretch) == np.nanmin(inside)


def test_every_nth_step_would_lose_a_spike() -> None:
    """Control: the property above is not held by taking every so many steps."""
    values = np.zeros(5000)
    values[1234] = 9.0
    whole = TimeSeries(np.arange(1.0, 5001), values)

    assert 9.0 == reduced(whole).values.max()
    assert 9.0 != values[:: 5000 // (2 * COLUMNS)].max()


def test_a_hundred_thousand_steps_become_few_points(tmp_path: Path) -> None:
    """No more than two for a column of pixels, and the one step that leaps is among them."""
    report = long_report(tmp_path, 100_000, spike=54_321)
    drawn = collect_plots(report, tmp_path).groups[0]
    points = reduced(drawn.group.curves[0].candidates[0].series)

    assert len(points.steps) <= 2 * COLUMNS
    assert 7.5 == points.values[points.steps == 54_321]
    assert "first at step 54321" in drawn.plots[0].description


def test_missing_records_are_reported(tmp_path: Path) -> None:
    """Without records, or with a changed record, the report has no curves of them."""
    report = pair_report(tmp_path)
    nowhere = read_curves(report, tmp_path / "elsewhere")
    assert () == nowhere.groups
    assert "a pair has no curves: " in nowhere.notes[0]

    (tmp_path / "records/1/steps.parquet").write_bytes(b"cut")
    damaged = read_curves(report, tmp_path)
    assert () == damaged.groups
    assert "a trace must be unchanged" in damaged.notes[0]


def test_a_pair_whose_runs_are_not_listed_is_reported() -> None:
    """A comparison of records that the report does not list has none to show."""
    report = small_report(comparisons=(IDENTICAL,), runs=())
    assert "does not list their runs" in read_curves(report, Path()).notes[0]


@pytest.mark.parametrize("names", [("one", "two"), ("plain", "trainer")])
def test_the_runs_of_a_compared_pair_are_found(tmp_path: Path, names: tuple[str, str]) -> None:
    """`harness compare` names the runs of a pair by folder or loop, and lists them by both."""
    report = pair_report(tmp_path)
    runs = [
        run.model_copy(update={"loop": f"{folder}: {run.loop}"})
        for run, folder in zip(report.runs, ("one", "two"), strict=True)
    ]
    pair = differing(names, 3)
    compared = report.model_copy(update={"runs": tuple(runs), "comparisons": (pair,)})
    assert 1 == len(read_curves(compared, tmp_path).groups)

    twice = compared.model_copy(update={"runs": (*runs, *runs)})
    assert () == read_curves(twice, tmp_path).groups


def test_pairs_that_differ_are_drawn_first_and_the_rest_counted(tmp_path: Path) -> None:
    """Of seven references four are drawn, the one whose pair differs first."""
    report = pair_report(tmp_path)
    pair = differing(("plain", "trainer"), 3)
    same = pair.model_copy(update={"outcome": "identical", "first_divergence": None})
    cases = [f"case {number}" for number in range(7)]
    pairs = [same.model_copy(update={"case": case}) for case in cases[:6]]
    pairs.append(pair.model_copy(update={"case": cases[6]}))
    runs = [one.model_copy(update={"case": case}) for case in cases for one in report.runs]
    found = read_curves(report.model_copy(update={"comparisons": pairs, "runs": runs}), tmp_path)

    assert (4, 3) == (len(found.groups), found.left_out)
    assert "case 6" == found.groups[0].case


def test_of_several_seeds_the_first_is_looked_for() -> None:
    """Its records are those named in the note, where they are not there."""
    report: Report = seeds_report()
    assert "records/tiny-plain" in read_curves(report, Path("nowhere")).notes[0]
