"""What a bench foretells from its first sessions."""

from __future__ import annotations

import math
import statistics

import pytest

from harness.benchmark.forecast import forecast, visible_ratio
from tests.support.bench_sessions import sessions

NAMES = ["plain", "control", "trainer"]


def test_the_visible_ratio_is_that_of_the_formula() -> None:
    """Eight sessions that vary by 2%, by hand: t(0.975; 7) = 2.3646 and t(0.8; 7) = 0.8960.

    The error is 0.02 / sqrt(8) = 0.007071. The control is known to 1.67%, less than the margin of
    2%, so exp(log(1.02) + 3.2606 * 0.007071) = 1.0438.
    """
    assert 1.0438 == pytest.approx(visible_ratio(0.02, 8, 0.02, 1), abs=1e-4)
    assert 1.02 == pytest.approx(visible_ratio(0.0, 8, 0.02, 1))


def test_a_poor_control_and_more_pairs_hide_more() -> None:
    """The control of 6% is known to 5.02%; two pairs share the error probability."""
    assert 1.1259 == pytest.approx(visible_ratio(0.06, 8, 0.02, 1), abs=1e-3)
    assert visible_ratio(0.02, 8, 0.02, 2) > visible_ratio(0.02, 8, 0.02, 1)
    assert visible_ratio(0.02, 30, 0.02, 1) < visible_ratio(0.02, 8, 0.02, 1)


def test_the_first_sessions_tell_what_the_bench_will_see() -> None:
    """From the spread of all arms about the reference, whatever their mean."""
    found = sessions({"control": (1.0, 1.02), "trainer": (1.3, 1.326)})
    spread = statistics.stdev((0.0, math.log(1.02)))

    text = forecast(found, NAMES, "own_step_s", 8, 0.02)

    expected = visible_ratio(spread, 8, 0.02, 1) - 1
    assert f"differences above {expected:.1%} will be called in 4 of 5 such benches" == text
    wild = sessions({"control": (1.0, 1.2), "trainer": (1.3, 1.56)})
    assert text != forecast(wild, NAMES, "own_step_s", 8, 0.02)
    assert "" == forecast(found[:1], NAMES, "own_step_s", 8, 0.02)
