"""A check against a baseline: its lists, the age of the baseline, the values."""

from datetime import UTC, datetime
from typing import Any

import pytest

from harness.report.document import Folded, Subsection, Table
from harness.report.sections.baseline import baseline_age, item_value, key_rows, section
from harness.report.sections.source import Source
from harness.report.text.regression import LISTS, counts
from harness.results.regression import UsedBaseline
from tests.support.judged_reports import gated_report

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_lists_of_a_check_begin_with_the_worst() -> None:
    """Each with its items; the sentence counts them."""
    gate = gated_report().gate
    assert gate is not None
    order = ["regressed", "improved", "unchanged", "inconclusive", "not_comparable", "missing"]
    assert order == list(LISTS)
    found = section(Source(gated_report(), None, NOW))
    assert found is not None
    titles = [
        block.summary if isinstance(block, Folded) else block.title
        for block in found.blocks
        if isinstance(block, Folded | Subsection)
    ]
    assert [
        "Regressed: 1",
        "Improved: 1",
        "Unchanged: 1",
        "Inconclusive, no verdict: 1",
        "Not comparable, no verdict: 1",
        "Missing, no verdict: 1",
    ] == titles[:6]
    assert "1 regressed, 1 improved" in counts(gate)
    worst = next(block for block in found.blocks if isinstance(block, Subsection))
    (table,) = worst.blocks
    assert isinstance(table, Table)
    assert ("tiny", "trainer", "steps", "6", "7", "", "", "steps: regressed") in table.rows
    assert "nothing was compared" in counts(gate.model_copy(update={"items": ()}))


@pytest.mark.parametrize(
    ("accepted_at", "expected"),
    [
        ("2026-11-22T11:00:00+00:00", "2026-11-22, 1 day before"),
        ("2026-11-01T12:00:00+02:00", "2026-11-01, 22 days before"),
        ("2026-11-23T00:00:00", "2026-11-23, 0 days before"),
        ("2027-01-01T00:00:00+00:00", "2027-01-01, later than this machine's clock"),
        ("yesterday", "yesterday, which is not a date"),
        (None, "not recorded"),
    ],
)
def test_the_age_of_a_baseline(accepted_at: str | None, expected: str) -> None:
    """In days; a clock that was set back is reported."""
    used = UsedBaseline(case="tiny", file="f", machine_class="m", accepted_at=accepted_at)
    assert baseline_age(used, NOW).startswith(expected)


def test_key_fields_that_differ_are_named() -> None:
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
def test_values_of_a_check_keep_exact_numbers(found: Any, unit: str, expected: str) -> None:
    """Counts are whole; sizes and times are scaled."""
    assert expected == item_value(found, unit)
