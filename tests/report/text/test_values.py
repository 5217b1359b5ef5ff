"""Numbers have as many digits as a reader needs."""

import pytest

from harness.report.text.values import distinct


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (0.865196078, 0.857843137, ("0.8652", "0.8578")),
        (12.3, 12.3100001, ("12.3", "12.31")),
        (1.0, 1.0000002, ("1", "1.0000002")),
        (0.25, 0.25, ("0.25", "0.25")),
        (1.0, 1.0 + 1e-12, ("1", "1")),
        (float("nan"), 0.5, ("nan", "0.5")),
    ],
)
def test_two_numbers_have_the_digits_that_differ(
    one: float, two: float, expected: tuple[str, str]
) -> None:
    """Four, if they suffice; nine at most."""
    assert expected == distinct(one, two)
