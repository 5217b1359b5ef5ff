"""The search for the first place that differs, with few comparisons."""

import math
from typing import Literal

import pytest

from harness.diagnosis.bisection import ChangePlace, first_differing_place


@pytest.mark.parametrize("count", [2, 3, 8, 61])
def test_every_place_is_found_with_few_comparisons(count: int) -> None:
    """No place is compared twice, and the ends are not compared at all."""
    for change in range(1, count):
        asked: list[int] = []

        def compare_at(
            place: int, change: int = change, asked: list[int] = asked
        ) -> Literal["same", "different"]:
            asked.append(place)
            return "same" if place < change else "different"

        assert ChangePlace(change - 1, change) == first_differing_place(count, compare_at)
        assert len(asked) == len(set(asked)) <= math.ceil(math.log2(count))
        assert not {0, count - 1} & set(asked)


def test_a_place_that_is_not_comparable_is_skipped() -> None:
    """The result is exact if possible, otherwise a range."""
    answers = {1: "same", 2: "same", 3: None, 4: None, 5: "different", 6: "different"}
    assert ChangePlace(2, 5) == first_differing_place(8, lambda place: answers[place])  # type: ignore[arg-type, return-value]  # as the words are
    answers |= {4: "different", 3: "same"}
    assert ChangePlace(3, 4) == first_differing_place(8, lambda place: answers[place])  # type: ignore[arg-type, return-value]  # as above
    assert ChangePlace(0, 3) == first_differing_place(4, lambda place: None)


def test_with_several_changes_it_is_a_true_one() -> None:
    """The planted fault of the assumption: what it names differs, and the one before does not."""
    row = ["same", "same", "different", "same", "same", "different", "different", "different"]
    found = first_differing_place(len(row), lambda place: row[place])  # type: ignore[arg-type, return-value]  # as above
    assert ("same", "different") == (row[found.last_same], row[found.first_different])
    assert 1 == found.first_different - found.last_same
