"""The distance between two numbers in units of the last place, checked by hand."""

import math
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.results.divergence import ulp_distance


def single(bits: int) -> float:
    """The single-precision number with these bits."""
    number: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return number


@pytest.mark.parametrize(
    ("reference", "candidate", "expected"),
    [
        (1.0, 1.0, 0.0),
        (1.0, 1.0 + 2**-23, 1.0),  # the next single-precision number
        (1.0, 1.0 - 2**-24, 1.0),  # below a power of two they lie twice as close
        (1.0, 2.0, 2.0**23),
        (0.0, 2**-149, 1.0),  # the smallest denormal
        (-(2**-149), 2**-149, 2.0),  # through zero
        (0.0, -0.0, 0.0),
        (-1.0, 1.0, 2.0 * 0x3F800000),
        (1.0, 1.0 + 2**-40, 0.0),  # apart in double precision only
        (math.nan, math.nan, None),
        (math.nan, 1.0, None),
        (1.0, math.inf, None),
        (-math.inf, -math.inf, None),
    ],
)
def test_ulp_distance_by_hand(reference: float, candidate: float, expected: float | None) -> None:
    """It counts the single-precision numbers between the two; None unless both are finite."""
    assert expected == ulp_distance(reference, candidate)
    assert expected == ulp_distance(candidate, reference)


@given(bits=st.integers(0, 2**32 - 1), distance=st.integers(1, 2**20))
def test_ulp_distance_counts_bit_patterns(bits: int, distance: int) -> None:
    """Among numbers of one sign the distance is that of their bit patterns."""
    assume(bits >> 31 == (bits + distance) >> 31)
    one, two = single(bits), single(bits + distance)
    assume(math.isfinite(one) and math.isfinite(two))

    assert float(distance) == ulp_distance(one, two)
