"""How numbers are shown to a reader."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.units import digest, number, quantity


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.123456, "0.1235"),
        (12345678, "12345678"),  # counts are kept whole
        (2.0, "2"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (True, "True"),
    ],
)
def test_number_keeps_four_significant_digits(value: float, expected: str) -> None:
    """Fractions are rounded to four digits, whole numbers and what is no number are kept."""
    assert expected == number(value)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "s", "-"),
        (0.875, "", "0.875"),
        (0, "B", "0 B"),
        (512, "B", "512 B"),
        (1023, "B", "1023 B"),
        (1024, "B", "1 KiB"),
        (1536, "B", "1.5 KiB"),
        (3 * 2**20, "B", "3 MiB"),
        (2**50, "B", "1024 TiB"),
        (0.0, "s", "0 s"),
        (0.0000125, "s", "12.5 µs"),
        (0.0125, "s", "12.5 ms"),
        (0.9999, "s", "1 s"),
        (1.5, "s", "1.5 s"),
        (119.0, "s", "119 s"),
        (150.0, "s", "2 min 30 s"),
        (179.7, "s", "3 min 0 s"),
        (250.5, "1/s", "250.5 1/s"),
    ],
)
def test_quantity_scales_for_reading(value: float | None, unit: str, expected: str) -> None:
    """Seconds and bytes get the unit in which they read best; nothing is shown as a dash."""
    assert expected == quantity(value, unit)


@given(value=st.floats(1e-5, 1e5), unit=st.sampled_from(["s", "B"]))
def test_quantity_never_needs_an_exponent(value: float, unit: str) -> None:
    """Within what a run takes, no time and no size is shown with an exponent or 60 seconds."""
    shown = quantity(value if unit == "s" else round(value * 1e6), unit)

    assert "e" not in shown.removesuffix(unit)
    assert not shown.endswith(" 60 s") or "min" not in shown


def test_digest_has_sixteen_digits() -> None:
    """Leading zeros are kept, so that digests line up and other values look other."""
    assert "00000000000000ff" == digest(255)
    assert "f" * 16 == digest(2**64 - 1)
    assert digest(254) != digest(255)
