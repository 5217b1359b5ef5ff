"""One measurement of speeds, and two combined, on times with a known result."""

from __future__ import annotations

import math

import pytest

from harness.benchmark.intervals import Sample
from harness.regression.compare_speeds import (
    SpeedComparison,
    Tolerance,
    combine,
    compare_speeds,
    enough_sessions,
)
from harness.regression.speeds import Change, Speeds
from tests.support.made_up_runs import times

TOLERANCE = Tolerance()


def lists(found: SpeedComparison) -> dict[str, str]:
    return {item.loop: item.listed for item in found.items}


def test_welch_interval_is_that_of_the_formula() -> None:
    """Two samples of two and three by hand: error, degrees of freedom and half-width."""
    change = Change(Sample((0.0, 0.02)), Sample((0.1, 0.12, 0.14)))
    # variances 2e-4 and 4e-4, parts 1e-4 and 4e-4/3; df = (7/3e-4)^2 / (1e-8 + 16e-8/18)
    freedom = (7 / 3) ** 2 / (1 + (4 / 3) ** 2 / 2)
    assert 2.882 == pytest.approx(freedom, abs=1e-3)
    assert 0.11 == pytest.approx(change.mean)
    # t(0.975; 2.882) = 3.257, error = sqrt(7/3 * 1e-4) = 0.015275
    assert 0.0498 == pytest.approx(change.half_width, abs=2e-4)
    assert math.exp(0.11) == pytest.approx(change.ratio)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.03, 1.20, "slower"),
        (1.01, 1.08, "inconclusive"),  # surely slower, but by how much?
        (0.99, 1.08, "unchanged"),  # 10% is ruled out
        (0.99, 1.11, "inconclusive"),  # and here it is not
        (1.005, 1.015, "unchanged"),  # within the margin
        (0.90, 0.97, "faster"),
        (0.95, 0.999, "unchanged"),
    ],
)
def test_what_an_interval_allows_one_to_say(low: float, high: float, expected: str) -> None:
    """Regions of the interval, with a margin of 2% and 10% that must be visible."""

    class Known(Change):
        @property
        def interval(self) -> tuple[float, float]:
            return low, high

    sample = Sample((0.0, 0.0))
    assert expected == Known(sample, sample).classify(0.02, 0.10)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (times(seed=1), {"plain": "unchanged", "trainer": "unchanged"}),
        (times(seed=1, loop=1.1), {"plain": "unchanged", "trainer": "regressed"}),
        (times(seed=1, loop=0.9), {"plain": "unchanged", "trainer": "improved"}),
        # The time of the reference at another hour is shown and not judged.
        (times(seed=1, code=1.1), {"plain": "inconclusive", "trainer": "unchanged"}),
        (times(seed=1, code=0.9), {"plain": "unchanged", "trainer": "unchanged"}),
        (times(seed=1, machine=1.1), {"plain": "unchanged", "trainer": "unchanged"}),
        # Plain alone became slower: the others' ratios fall, but nothing of them improved.
        (times(seed=1, code=1.1, loop=1 / 1.1), {"plain": "inconclusive", "trainer": "unchanged"}),
        # Plain alone became faster: their ratios rise, but they did not get slower.
        (times(seed=1, code=0.9, loop=1 / 0.9), {"plain": "unchanged", "trainer": "unchanged"}),
    ],
)
def test_each_change_ends_in_its_list(now: Speeds, expected: dict[str, str]) -> None:
    """One loop, all loops, the machine, or the reference alone."""
    assert expected == lists(compare_speeds("case", times(), now, TOLERANCE))


def test_a_change_of_all_loops_is_distinguished_from_the_machine() -> None:
    """The yardstick decides between a library and the machine; a single loop has no such words."""
    code = compare_speeds("case", times(), times(seed=1, code=1.1), TOLERANCE).common_change
    machine = compare_speeds("case", times(), times(seed=1, machine=1.1), TOLERANCE).common_change
    assert "yardstick did not, so a library" in code
    assert "harness check --against" in code
    assert "yardstick changed with them, so the cause is the machine" in machine
    assert "" == compare_speeds("case", times(), times(seed=1, loop=1.1), TOLERANCE).common_change
    alone = times(seed=1, code=1.1, loop=1 / 1.1)
    assert "" == compare_speeds("case", times(), alone, TOLERANCE).common_change


def test_without_a_yardstick_a_slower_machine_is_no_verdict() -> None:
    """An older bench did not time it: the two cases are indistinguishable."""
    bare = times()
    sessions = tuple(s.model_copy(update={"yardstick_s": None}) for s in bare.sessions)
    before = bare.model_copy(update={"sessions": sessions})
    assert (
        "inconclusive"
        == lists(compare_speeds("case", before, times(seed=1, code=1.1), TOLERANCE))["plain"]
    )
    assert "unchanged" == lists(compare_speeds("case", before, times(seed=1), TOLERANCE))["plain"]


def test_too_little_is_no_verdict() -> None:
    """No sessions, two sessions, a wild control, other turns: never green."""
    before = times()
    for now in (None, times(seed=1, count=2), times(seed=1, by=0.2)):
        assert {"inconclusive"} == set(
            lists(compare_speeds("case", before, now, TOLERANCE)).values()
        )
    other = times(seed=1).model_copy(update={"steps_per_turn": 9})
    assert {"not_comparable"} == set(
        lists(compare_speeds("case", before, other, TOLERANCE)).values()
    )


def test_a_missing_arm_is_missing() -> None:
    """In the baseline or in the check, and never in a passing list."""
    whole = times()
    sessions = tuple(
        s.model_copy(update={"arms": {a: t for a, t in s.arms.items() if a != "trainer"}})
        for s in whole.sessions
    )
    less = whole.model_copy(update={"sessions": sessions})
    assert "missing" == lists(compare_speeds("case", whole, less, TOLERANCE))["trainer"]
    assert "missing" == lists(compare_speeds("case", less, whole, TOLERANCE))["trainer"]


def test_a_regression_needs_two_measurements() -> None:
    """Slower in one measurement is inconclusive; in both it is a regression."""
    before = times()
    slow, fine = (
        compare_speeds("case", before, times(seed=1, loop=r), TOLERANCE) for r in (1.1, 1.0)
    )
    assert "regressed" == lists(combine(slow, slow))["trainer"]
    assert "two measurements" in combine(slow, slow).items[1].sentence
    assert "inconclusive" == lists(combine(slow, fine))["trainer"]
    assert "inconclusive" == lists(combine(fine, slow))["trainer"]
    assert "unchanged" == lists(combine(fine, fine))["trainer"]
    nothing = compare_speeds("case", before, None, TOLERANCE)
    assert "inconclusive" == lists(combine(slow, nothing))["trainer"]


def test_a_measurement_ends_by_the_width_of_its_intervals() -> None:
    """Narrow intervals are enough whatever they say; wide ones are not."""
    assert enough_sessions(times(), times(seed=1), TOLERANCE)
    assert enough_sessions(times(), times(seed=1, loop=1.1), TOLERANCE)
    assert not enough_sessions(times(), times(seed=1, by=0.05), TOLERANCE)
    assert not enough_sessions(times(), times(seed=1, count=2), TOLERANCE)


def test_an_improvement_needs_two_measurements_too() -> None:
    """Faster in one, and no slowdown in the other, is unchanged; with no result, unknown."""
    before = times()
    fast, fine, none = (
        compare_speeds("case", before, now, TOLERANCE)
        for now in (times(seed=1, loop=0.9), times(seed=1), None)
    )
    assert "improved" == lists(combine(fast, fast))["trainer"]
    assert "unchanged" == lists(combine(fast, fine))["trainer"]
    assert "unchanged" == lists(combine(fine, fast))["trainer"]
    assert "inconclusive" == lists(combine(fast, none))["trainer"]
    assert fast.moved
    assert not fast.slower
    assert not fine.moved
