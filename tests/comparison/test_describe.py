"""What exactly differs, in words: rows, rates, factors."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison.describe import (
    factor_detail,
    factors,
    one_factor,
    order_detail,
    rate_detail,
    relative_distance,
    update_detail,
)
from harness.results.record import Observation
from tests.support.evidence import evident
from tests.support.records import TENSORS


@pytest.mark.parametrize(
    ("reference", "candidate", "expected"),
    [
        ([1, 2, 3], [2, 1, 3], "the same 3 rows, 2 of them in another place"),
        ([1, 2, 3], [1, 1, 3], "row 1 stands twice, row 2 missing"),
        ([1, 2, 3], [1, 2, 9], "row 3 missing, row 9 instead"),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], "5 rows missing, 5 rows instead"),
        ([1, 2], None, "the candidate has no such micro-batch, the other side has one of 2 rows"),
        (None, [1], "the reference has no such micro-batch, the other side has one of 1 rows"),
    ],
)
def test_rows_that_moved_are_missing_or_stand_twice_are_told(
    reference: list[int] | None, candidate: list[int] | None, expected: str
) -> None:
    """Each way in which the rows of a micro-batch can differ has words of its own."""
    assert expected == order_detail(reference, candidate)


def test_the_ratio_of_two_schedules_is_told_from_its_first_step_on() -> None:
    """One ratio where there is one; else the first and the last."""
    assert "0.5 times the reference's from step 2 on" == rate_detail([4, 4, 2], [4, 2, 1], 2)
    assert "0.5 times the reference's at step 2, 3 times at step 3" == rate_detail(
        [4, 4, 2], [4, 2, 6], 2
    )
    assert "" == rate_detail([1.0, 0.0], [1.0, 0.5], 2)


def test_one_factor_is_one_only_where_it_holds_for_all() -> None:
    """Within the rounding of single precision; a tensor of its own breaks it."""
    assert 3.0 == one_factor({"a": 3.0, "b": 3.00001, "c": 2.99999})
    assert one_factor({"a": 3.0, "b": 3.01}) is None
    assert one_factor({"a": 3.0, "b": float("nan")}) is None
    assert one_factor({}) is None


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ({"a": 3.0, "b": 3.0}, "one factor, 3, explains the gradients of all 2 tensors"),
        ({"a": 1.0, "b": 2.0, "c": 2.0}, "one factor, 2, explains 2 of 3 tensors, first b"),
        ({"a": 1.0, "b": 1.0}, "2 of 2 tensors differ, none by more than 1e-4 in its norm"),
        (
            {"a": 1.5, "b": 4.0},
            "the norms of 2 of 2 tensors differ, most that of b, 4 times the reference's",
        ),
        ({}, ""),
    ],
)
def test_a_factor_is_told_for_all_tensors_or_for_some(
    ratios: dict[str, float], expected: str
) -> None:
    """All alike, a part alike, none alike, or only in their last digits."""
    assert expected == factor_detail(ratios, 2)


def test_a_gradient_that_is_only_rounding_breaks_no_factor(tmp_path: Path) -> None:
    """A bias before a softmax has a gradient of about nothing, whose ratio is chance."""
    one, two = evident(), evident()
    for made, noise in ((one, 1e-7), (two, 5e-7)):
        made.rows["norms"].append(
            {"step": 1, "tensor": "key.bias", "weight": None, "gradient": noise, "applied": noise}
        )
    for row in two.rows["norms"]:
        if row["step"] == 1 and row["tensor"] in TENSORS:
            row["gradient"] *= 2
    found = factors(one.write(tmp_path / "one"), two.write(tmp_path / "two"), 1)
    assert dict.fromkeys(TENSORS, 2.0) == pytest.approx(found)


def test_an_update_that_was_given_other_gradients_is_told(tmp_path: Path) -> None:
    """By hand: norms of 13 in all are scaled to 1 on one side; on the other left alone."""
    clipped, bare, bent = evident(), evident(), evident()
    for row in bare.rows["norms"]:
        row["applied"] = row["gradient"]
    next(row for row in bent.rows["norms"] if row["step"] == 1)["applied"] *= 1.5
    records = [
        made.write(tmp_path / name)
        for name, made in (("clipped", clipped), ("bare", bare), ("bent", bent))
    ]
    assert "" == update_detail(records[0], records[0], 1)
    assert (
        "before the update the reference scales its gradients by 0.07692, the candidate by 1"
        == update_detail(records[0], records[1], 1)
    )
    assert (
        f"the gradients of 1 of 3 tensors are changed before the update on one side alone, most "
        f"that of {TENSORS[0]}, by 1.5" == update_detail(records[0], records[2], 1)
    )


def test_weights_that_something_else_changed_are_told(tmp_path: Path) -> None:
    """Where it happened after the update in question, and on one side alone."""
    alone, moved = evident(), evident()
    moved.header["observed"] = {"weights_changed_outside_update": [Observation(step=2)]}
    one, two = alone.write(tmp_path / "alone"), moved.write(tmp_path / "moved")

    told = "after the update something else changed weights of the "
    assert told + "candidate" == update_detail(one, two, 2)
    assert told + "reference" == update_detail(two, one, 2)
    assert "" == update_detail(two, two, 2)
    assert "" == update_detail(one, two, 1)


def test_a_relative_distance_is_one_of_finite_numbers() -> None:
    """|3 - 2| / |2|; of a list, a zero or a NaN there is none."""
    assert 0.5 == relative_distance(2.0, 3.0)
    for pair in (([1], [2]), (0.0, 1.0), (1.0, float("nan")), (None, 1.0)):
        assert relative_distance(*pair) is None
