"""Two one-sided tests: numbers by hand, error rates by simulation, and what must never pass."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from harness.stats import ALPHA, POWER, compare_means, seeds_needed

BIASES = [0.01, -0.02, 0.03, 0.0, 0.02]
"""Mean 0.008, variance 0.00037, so a standard error of sqrt(0.000074) = 0.0086023."""


def shifted(reference: list[float]) -> list[float]:
    return [value + bias for value, bias in zip(reference, BIASES, strict=True)]


def test_a_paired_interval_by_hand() -> None:
    """t(0.95, 4) = 2.131847, so the interval is 0.008 -+ 2.131847 * 0.0086023."""
    reference = [0.8, 0.7, 0.9, 0.85, 0.75]
    found = compare_means(reference, shifted(reference), 0.1, paired=True)

    assert found.interval == pytest.approx((-0.010339, 0.026339), abs=1e-6)
    assert "equivalent" == found.outcome
    swapped = compare_means(shifted(reference), reference, 0.1, paired=True)
    assert swapped.interval == pytest.approx((-0.026339, 0.010339), abs=1e-6)


def test_an_unpaired_interval_by_hand() -> None:
    """Welch: variances 1/3 and 4 of 4 and 3 values; error sqrt(17/12), freedom 2.251948."""
    reference, candidate = [1.0, 2.0, 1.0, 2.0], [0.0, 2.0, 4.0]
    error = math.sqrt((1 / 3) / 4 + 4.0 / 3)
    freedom = error**4 / (((1 / 3) / 4) ** 2 / 3 + (4.0 / 3) ** 2 / 2)
    half = stats.t.ppf(0.95, freedom) * error
    found = compare_means(reference, candidate, 10.0, paired=False)

    assert (1.190238, 2.251948) == pytest.approx((error, freedom), abs=1e-6)
    assert found.interval == pytest.approx((0.5 - half, 0.5 + half))
    expected = stats.ttest_ind(candidate, reference, equal_var=False).confidence_interval(0.9)
    assert found.interval == pytest.approx((expected.low, expected.high))


def test_the_interval_decides() -> None:
    """Within the margin, beyond it, across it; on either side of zero alike."""
    reference = [0.8, 0.7, 0.9, 0.85, 0.75]
    candidate = shifted(reference)  # the interval is (-0.0103, 0.0263)
    outcomes = {
        margin: compare_means(reference, candidate, margin, True).outcome for margin in (0.03, 0.02)
    }
    assert {0.03: "equivalent", 0.02: "inconclusive"} == outcomes

    above = [value + 0.1 for value in candidate]
    below = [value - 0.12 for value in candidate]
    assert "different" == compare_means(reference, above, 0.05, True).outcome
    assert "different" == compare_means(reference, below, 0.05, True).outcome
    assert "inconclusive" == compare_means(reference, above, 0.1, True).outcome


def test_a_difference_that_does_not_matter_is_equivalent() -> None:
    """An interval without zero but within the margin: sure to differ, and of no consequence."""
    reference = [0.8, 0.7, 0.9]
    found = compare_means(reference, [0.811, 0.71, 0.909], 0.02, paired=True)

    assert found.interval is not None
    assert found.interval[0] > 0
    assert "equivalent" == found.outcome


def test_pairs_take_out_what_both_sides_share() -> None:
    """The seeds spread by 0.1, their differences by 0.001: only the paired test can tell."""
    reference = [0.6, 0.7, 0.8, 0.9]
    candidate = [0.601, 0.699, 0.801, 0.899]
    assert "equivalent" == compare_means(reference, candidate, 0.02, paired=True).outcome
    assert "inconclusive" == compare_means(reference, candidate, 0.02, paired=False).outcome
    with pytest.raises(ValueError, match="pairs"):
        compare_means(reference, candidate[:3], 0.02, paired=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("paired", [True, False])
def test_what_is_not_finite_never_passes(bad: float, paired: bool) -> None:
    """Not on one side, not on both, not where both sides are the same bit for bit."""
    good, spoiled = [0.5, 0.6, 0.7], [0.5, bad, 0.7]
    for sides in ((good, spoiled), (spoiled, good), (spoiled, spoiled)):
        for exact in (True, False):
            found = compare_means(*sides, 1e9, paired, exact)
            assert ("inconclusive", None) == (found.outcome, found.interval)
            assert str(bad) in found.why
    assert "equivalent" == compare_means(good, good, 1e9, paired, exact=True).outcome


def test_too_few_seeds_say_nothing() -> None:
    """One or none has no spread; two have, and are judged."""
    for count in (0, 1):
        found = compare_means([0.5] * count, [0.5] * count, 1.0, paired=True, exact=True)
        assert ("inconclusive", 2) == (found.outcome, found.needed)
    assert "equivalent" == compare_means([0.5, 0.6], [0.51, 0.6], 1.0, paired=True).outcome


def test_no_spread_is_trusted_only_where_every_bit_is_the_same() -> None:
    """Equal scores of other computations, or a constant shift, are no estimate of a spread."""
    scores = [0.725, 0.75, 0.6]
    exact = compare_means(scores, scores, 0.02, paired=True, exact=True)
    assert ("equivalent", (0.0, 0.0)) == (exact.outcome, exact.interval)

    for candidate in (scores, [value + 0.025 for value in scores]):
        for claimed in (False, candidate != scores):
            found = compare_means(scores, candidate, 0.1, paired=True, exact=claimed)
            assert ("inconclusive", None) == (found.outcome, found.interval)
            assert "no spread" in found.why


def test_seeds_needed_by_hand() -> None:
    """In the normal limit n = (1.6449 + 0.8416)^2 s^2 / (m - d)^2 = 24.7. With Student's t it is
    the 27 of every table for a one-sided test of an effect of 0.5 at 5% with power 0.8."""
    s, margin, difference = 0.01, 0.02, 0.015
    normal = (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) ** 2 * s**2 / (margin - difference) ** 2
    assert normal == pytest.approx(24.73, abs=0.01)
    assert 27 == seeds_needed(difference, s**2, margin, lambda n: n - 1.0)
    assert 27 == seeds_needed(-difference, s**2, margin, lambda n: n - 1.0)
    # Beyond the margin by as much, "different" takes as many.
    assert 27 == seeds_needed(margin + 0.005, s**2, margin, lambda n: n - 1.0)
    assert seeds_needed(margin, s**2, margin, lambda n: n - 1.0) is None


def test_an_inconclusive_answer_asks_for_more_seeds_than_it_had() -> None:
    """Whatever the draw, what is said to be needed is more than what did not suffice."""
    draw = np.random.default_rng(3)
    asked = 0
    for _ in range(300):
        count = int(draw.integers(2, 8))
        one, two = draw.normal(0.8, 0.02, (2, count))
        for paired in (True, False):
            found = compare_means(one.tolist(), two.tolist(), 0.02, paired)
            if found.needed is not None:
                asked += 1
                assert found.needed > count
    assert asked > 100


def rate(
    outcome: str, difference: float, seeds: int, paired: bool, trials: int, seed: int
) -> tuple[int, int]:
    """How often the outcome is `outcome` at the true `difference`, and how often it is covered.

    The margin is 1, the standard deviation of a difference 0.4.
    """
    draw = np.random.default_rng(seed)
    said = covered = 0
    for _ in range(trials):
        shared = draw.normal(0, 3, seeds)
        if paired:
            one, two = shared, shared + draw.normal(difference, 0.4, seeds)
        else:
            noise = draw.normal(0, 0.4 / math.sqrt(2), (2, seeds))
            one, two = noise[0], noise[1] + difference
        found = compare_means(one.tolist(), two.tolist(), 1.0, paired)
        said += found.outcome == outcome
        assert found.interval is not None
        covered += found.interval[0] < difference < found.interval[1]
    return said, covered


def binomial(trials: int, share: float) -> tuple[float, float]:
    """Within which the count falls but once in ten thousand."""
    low, high = stats.binom.interval(1 - 1e-4, trials, share)
    return float(low), float(high)


TRIALS = 3000


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("outcome", ["equivalent", "different"])
def test_false_answers_are_as_rare_as_stated(outcome: str, paired: bool) -> None:
    """At a true difference of the margin itself, either answer comes in 5% of draws; the interval
    covers the truth in 90%."""
    said, covered = rate(outcome, 1.0, 5, paired, TRIALS, seed=11)
    low, high = binomial(TRIALS, ALPHA)
    assert low <= said <= high, said / TRIALS
    low, high = binomial(TRIALS, 1 - 2 * ALPHA)
    assert low <= covered <= high, covered / TRIALS


def test_a_rate_that_is_off_would_show() -> None:
    """Control: a true difference a little within the margin is called equivalent too often for 5%,
    and far beyond it never."""
    _, high = binomial(TRIALS, ALPHA)
    assert rate("equivalent", 0.8, 5, True, TRIALS, seed=11)[0] > high
    assert 0 == rate("equivalent", 3.0, 5, True, TRIALS, seed=11)[0]
    assert 0 == rate("different", 0.0, 5, True, TRIALS, seed=11)[0]


@pytest.mark.parametrize(
    ("outcome", "difference"), [("equivalent", 0.0), ("equivalent", 0.7), ("different", 1.3)]
)
@pytest.mark.parametrize("paired", [True, False])
def test_the_seeds_that_are_said_to_be_needed_suffice(
    outcome: str, difference: float, paired: bool
) -> None:
    """With that many the answer comes in 80% of draws; with half of them it does not."""
    degrees: Callable[[int], float] = lambda n: n - 1.0 if paired else 2 * (n - 1.0)  # noqa: E731
    needed = seeds_needed(difference, 0.16, 1.0, degrees)
    assert needed is not None
    assert rate(outcome, difference, needed, paired, 2000, seed=5)[0] >= binomial(2000, POWER)[0]
    fewer = max(2, needed // 2)
    assert rate(outcome, difference, fewer, paired, 2000, seed=5)[0] < binomial(2000, POWER)[0]
