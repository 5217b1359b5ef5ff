"""The sentences that describe a first divergence: rows, rates, factors."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.comparison.describe import order_detail, rate_detail, relative_distance
from harness.comparison.factors import (
    factor_detail,
    factors,
    gradient_detail,
    one_factor,
    update_detail,
)
from harness.results.divergence import Divergence
from harness.results.record import Observation
from tests.support.evidence import evident
from tests.support.records import TENSORS


@pytest.mark.parametrize(
    ("reference", "candidate", "expected"),
    [
        ([1, 2, 3], [2, 1, 3], "the same 3 rows in another order, 2 of them moved"),
        ([1, 2, 3], [1, 1, 3], "row 1 repeated; row 2 missing"),
        ([1, 2, 3], [1, 2, 9], "row 3 missing; row 9 unexpected"),
        ([1, 2, 3], [1, 2], "2 rows against 3: row 3 missing"),
        ([1], [1, 2], "2 rows against 1: row 2 unexpected"),
        ([1, 2, 3], [1, 1, 1], "row 1 repeated 2 times in all; rows 2, 3 missing"),
        ([1, 2], [1, -1], "row 2 missing; 1 row that is not in the set unexpected"),
        ([1, 2, 3], [-1, -1, 3], "rows 1, 2 missing; 2 rows that are not in the set unexpected"),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], "5 rows missing; 5 rows unexpected"),
        (
            [1, 2],
            None,
            "only the reference has this micro-batch (2 rows), the candidate does not",
        ),
        (None, [1], "only the candidate has this micro-batch (1 row), the reference does not"),
    ],
)
def test_moved_missing_and_repeated_rows_are_described(
    reference: list[int] | None, candidate: list[int] | None, expected: str
) -> None:
    """Each way in which the rows of a micro-batch can differ has its own sentence."""
    assert expected == order_detail(reference, candidate)


@pytest.mark.parametrize(
    ("reference", "candidate", "step", "expected"),
    [
        (
            [4.0, 4.0, 2.0],
            [4.0, 2.0, 1.0],
            2,
            "2 against 4 at step 2; candidate / reference is 0.5 from there on",
        ),
        ([4.0, 4.0, 2.0], [4.0, 2.0, 6.0], 2, "2 against 4 at step 2, 6 against 2 at step 3"),
        ([0.0, 5e-5], [5e-5, 5e-5], 1, "5e-05 against 0 at step 1"),
        ([1.0, 0.0], [1.0, 0.5], 2, "0.5 against 0 at step 2"),
        ([1.0], [math.nextafter(1.0, 2)], 1, "1.0000000000000002 against 1.0 at step 1"),
    ],
)
def test_both_learning_rates_are_named(
    reference: list[float], candidate: list[float], step: int, expected: str
) -> None:
    """Both values at their first difference, and how they go on: one ratio, or the last values."""
    values = [reference[step - 1]], [candidate[step - 1]]
    first = Divergence(step=step, stage="learning_rate", reference=values[0], candidate=values[1])
    assert expected == rate_detail(first, reference, candidate)


def test_the_rate_of_one_parameter_is_described_by_its_name() -> None:
    """A parameter in no optimizer, and an optimizer without a rate, have words."""
    first = Divergence(
        step=3,
        stage="learning_rate",
        tensor="head.bias",
        tensors_differing=2,
        reference=None,
        candidate=1e-3,
    )
    expected = "head.bias: 0.001 against none at step 3; 2 parameters have another rate"
    assert expected == rate_detail(first, [], [])


def test_one_factor_must_hold_for_all_tensors() -> None:
    """Within the rounding of single precision; one other ratio breaks it."""
    assert 3.0 == one_factor({"a": 3.0, "b": 3.00001, "c": 2.99999})
    assert one_factor({"a": 3.0, "b": 3.01}) is None
    assert one_factor({"a": 3.0, "b": float("nan")}) is None
    assert one_factor({}) is None


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        (
            {"a": 3.0, "b": 3.0},
            "the gradients of all 2 tensors differ by one factor, 3 (candidate / reference)",
        ),
        (
            {"a": 1.0, "b": 2.0, "c": 2.0},
            "the gradients of 2 of 3 tensors differ by one factor, 2 (candidate / reference); the "
            "first is b",
        ),
        (
            {"a": 1.0, "b": 1.0},
            "the gradients of 2 tensors differ, no norm by more than 1e-4 of its value",
        ),
        (
            {"a": 1.5, "b": 4.0},
            "the gradient norms of all 2 tensors differ; the largest change is that of b, by the "
            "factor 4 (candidate / reference)",
        ),
        ({"a": 2.0}, "the gradient of 1 tensor differs by the factor 2 (candidate / reference)"),
        (
            {"a": 1.0, "b": 1.0002},
            "the gradient of b differs by the factor 1.0002 (candidate / reference)",
        ),
        ({}, ""),
    ],
)
def test_a_factor_is_described_for_all_or_for_some_tensors(
    ratios: dict[str, float], expected: str
) -> None:
    """All ratios equal, some equal, none equal, or equal within rounding."""
    assert expected == factor_detail(ratios, 2)


def test_tensors_whose_gradient_is_rounding_error_are_counted_and_named_so() -> None:
    """41 tensors have a gradient; of 2 of them it is rounding error, so 39 show the factor."""
    expected = (
        "the gradients of 39 of 41 tensors differ by one factor, 2 (candidate / reference); those "
        "of the other 2 are only rounding error"
    )
    ratios = {f"tensor {number}": 2.0 for number in range(39)}
    assert expected == factor_detail(ratios, 41, 41)
    assert factor_detail(ratios, 39, 39).startswith("the gradients of all 39 tensors differ")


def test_no_tensor_that_differs_gives_no_count() -> None:
    """Without digests of single tensors the number that differs is not known."""
    expected = "the gradients differ, no norm by more than 1e-4 of its value"
    assert expected == factor_detail({"a": 1.0}, 0)


def test_a_gradient_that_is_only_rounding_breaks_no_factor(tmp_path: Path) -> None:
    """The gradient of a bias before a softmax is rounding error; its ratio is random."""
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


def test_gradients_that_only_one_run_has_are_described(tmp_path: Path) -> None:
    """A frozen tensor has no norm, or the norm 0; neither is a small difference of norms."""
    whole, frozen, zero = evident(), evident(), evident()
    frozen.rows["norms"] = [row for row in frozen.rows["norms"] if row["tensor"] != TENSORS[0]]
    for row in zero.rows["norms"]:
        if row["tensor"] in TENSORS[:2]:
            row["gradient"] = 0.0
    one, two, three = (
        made.write(tmp_path / name)
        for name, made in (("whole", whole), ("frozen", frozen), ("zero", zero))
    )
    expected = f"{TENSORS[0]} has no gradient in the candidate only"
    assert expected == gradient_detail(one, two, 1, 1)
    expected = f"2 tensors have a gradient of zero in the reference only, first {TENSORS[0]}"
    assert expected == gradient_detail(three, one, 1, 2)
    control = "the gradients of 1 tensor differ, no norm by more than 1e-4 of its value"
    assert control == gradient_detail(one, one, 1, 1)


def test_an_update_from_changed_gradients_is_described(tmp_path: Path) -> None:
    """By hand: one run scales a total norm of 13 to 1, the other run does not scale it."""
    clipped, bare, bent = evident(), evident(), evident()
    for row in bare.rows["norms"]:
        row["applied"] = row["gradient"]
    next(row for row in bent.rows["norms"] if row["step"] == 1)["applied"] *= 1.5
    records = [
        made.write(tmp_path / name)
        for name, made in (("clipped", clipped), ("bare", bare), ("bent", bent))
    ]
    assert "" == update_detail(records[0], records[0], 1)
    zeroed = evident()
    for row in zeroed.rows["norms"]:
        row["applied"] = None if row["gradient"] is None else 0.0
    assert (
        "before the update the reference scales its gradients by 0.07692, the candidate sets its "
        "gradients to zero" == update_detail(records[0], zeroed.write(tmp_path / "zeroed"), 1)
    )
    assert (
        "before the update the reference scales its gradients by 0.07692, the candidate does not "
        "change its gradients" == update_detail(records[0], records[1], 1)
    )
    assert (
        "before the update the two runs change the gradients of 1 of 3 tensors differently; the "
        f"largest difference is that of {TENSORS[0]}, by the factor 1.5 (candidate / reference)"
        == update_detail(records[0], records[2], 1)
    )


def test_weights_changed_outside_the_update_are_described(tmp_path: Path) -> None:
    """Only if it happened after this update, and in one run alone."""
    alone, moved = evident(), evident()
    moved.header["observed"] = {"weights_changed_outside_update": [Observation(step=2)]}
    one, two = alone.write(tmp_path / "alone"), moved.write(tmp_path / "moved")

    detail = "code outside the update changed weights of the "
    assert detail + "candidate" == update_detail(one, two, 2)
    assert detail + "reference" == update_detail(two, one, 2)
    assert "" == update_detail(two, two, 2)
    assert "" == update_detail(one, two, 1)


def test_a_relative_distance_is_one_of_finite_numbers() -> None:
    """|3 - 2| / |2|; a list, a zero or a NaN has none."""
    assert 0.5 == relative_distance(2.0, 3.0)
    for pair in (([1], [2]), (0.0, 1.0), (1.0, float("nan")), (None, 1.0)):
        assert relative_distance(*pair) is None
