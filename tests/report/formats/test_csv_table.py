"""The CSV, read by pandas: always the same columns, numbers whole, text no formula."""

import io
from typing import Any

import pandas as pd
import pytest

from harness.report.formats.csv_table import COLUMNS, tidy
from tests.support.judged_reports import bench_report, gated_report
from tests.support.run_folders import HOSTILE
from tests.support.small_report import DIFFERENT, explained_report, run, seeds_report, small_report


def table(report: Any) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(tidy(report)))


@pytest.mark.parametrize(
    "report",
    [small_report(), seeds_report(), explained_report(), bench_report(), gated_report()],
    ids=["small", "seeds", "explained", "bench", "gate"],
)
def test_the_columns_are_always_the_same(report: Any) -> None:
    """Whatever was found, so that files of many runs can be put under each other."""
    assert list(COLUMNS) == list(table(report).columns)


def test_what_was_found_can_be_asked_for() -> None:
    """A ratio with its interval, a run's figure, a list of the gate, the verdict."""
    bench = table(bench_report())
    speed = bench[(bench.kind == "finding") & (bench.candidate == "trainer")].iloc[0]
    assert (1.05, 1.03, 1.07, "slower") == (
        speed.ratio,
        speed.interval_low,
        speed.interval_high,
        speed.outcome,
    )
    runs = table(small_report())
    accuracy = runs[(runs.kind == "run") & (runs.metric == "accuracy")]
    assert [0.875] * 3 == accuracy.value.tolist()
    assert ["higher"] * 3 == accuracy.better.tolist()
    gate = table(gated_report())
    assert 6 == len(gate[gate.kind == "gate"])
    assert ["regression"] == gate[gate.kind == "verdict"].outcome.tolist()


def test_numbers_keep_all_their_digits() -> None:
    """A value is not rounded for a reader; the first divergence has its place."""
    found = table(small_report(runs=(run("plain", final_metrics={"accuracy": 1 / 3}),)))
    assert 1 / 3 == found[found.metric == "accuracy"].value.iloc[-1]
    pair = found[(found.kind == "comparison") & (found.candidate == "trainer")].iloc[0]
    assert (3, "gradients", "classifier.bias", 0.5) == (
        pair.step,
        pair.stage,
        pair.tensor,
        float(pair.reference_value),
    )


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "=cmd|'/c calc'!A1"])
def test_text_is_no_formula(text: str) -> None:
    """A spreadsheet shows it; numbers below zero, for control, stay numbers."""
    found = table(small_report(runs=(run(text, final_metrics={"accuracy": -1.5}),)))
    runs = found[found.kind == "run"]
    assert {f"'{text}"} == set(runs.loop)
    assert -1.5 == runs[runs.metric == "accuracy"].value.iloc[0]


def test_what_others_wrote_stays_in_its_cell() -> None:
    """Quotes, commas, line ends and control characters."""
    pair = DIFFERENT.model_copy(update={"candidate": HOSTILE})
    found = table(small_report(comparisons=(pair,), runs=()))
    assert 2 == len(found)
    assert HOSTILE.replace("\x00\x07\u202e", "\\x00\\x07\\u202e") == found.candidate[1]


@pytest.mark.parametrize("conventions", ["matched", ""])
def test_epochs_of_a_command_are_not_known_and_not_zero(conventions: str) -> None:
    """The control: a loop that ended before its first step made none."""
    one = run("plain", epochs=0.0, conventions=conventions)
    found = table(small_report(runs=(one,)))
    assert ([0.0] if conventions else []) == found[found.metric == "epochs"].value.tolist()
