"""What a pair shows of its first divergence."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.report.document import Subsection, Values
from harness.report.sections.pairs import section
from harness.report.sections.source import Source
from tests.support.small_report import DIFFERENT, FIRST, small_report

ROWS = ["029cb91c00000000", "12ab91c000000000"], ["ff9cb91c00000000", "eeab91c000000000"]


@pytest.mark.parametrize(
    ("values", "detail", "expected"),
    [
        (ROWS, "another order", []),
        (ROWS, "", ["2 rows, by their digests"] * 2),
        (
            (ROWS[0], ROWS[1][:1]),
            "fewer rows",
            ["2 rows, by their digests", "1 row, by their digests"],
        ),
        (([1, 2], [3, 4]), "another order", ["[1, 2]", "[3, 4]"]),
    ],
)
def test_rows_without_numbers_are_left_to_the_detail(
    values: tuple[list[object], list[object]], detail: str, expected: list[str]
) -> None:
    first = FIRST.model_copy(
        update={"reference": values[0], "candidate": values[1], "detail": detail}
    )
    pair = DIFFERENT.model_copy(update={"first_divergence": first})
    found = section(
        Source(small_report(comparisons=(pair,)), None, datetime(2026, 11, 23, tzinfo=UTC))
    )
    assert found is not None
    texts = [
        text
        for block in found.blocks
        if isinstance(block, Subsection)
        for inner in block.blocks
        if isinstance(inner, Values)
        for _, text in inner.pairs
    ]
    assert expected == texts
