"""Numbers have as many digits as a reader needs."""

import pytest

from harness.report.text.values import distinct, module_name, shown


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


def test_digests_of_rows_are_counted() -> None:
    """A number or a name among them, for control, is shown."""
    assert "2 rows, by their digests" == shown(["029cb91c00000000", "12ab91c000000000"])
    assert "1 row, by their digests" == shown(("029cb91c00000000",))
    assert "[3, 4]" == shown([3, 4])
    assert "[]" == shown([])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("", "the model"), ("1", "module 1"), ("0.conv", "module 0.conv"), ("head", "head")],
)
def test_a_module_has_a_name_that_can_be_read(name: str, expected: str) -> None:
    assert expected == module_name(name)
