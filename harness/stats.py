"""Compare the means of a metric over several seeds: equivalent, different or inconclusive.

Two one-sided t-tests at level `ALPHA`, expressed by their interval: Schuirmann, "A comparison of
the two one-sided tests procedure and the power approach for assessing the equivalence of average
bioavailability", J. Pharmacokinet. Biopharm. 15 (1987). The interval is the (1 - 2 * ALPHA)
t-interval of the difference candidate - reference of the two means:

- `equivalent`: the interval lies wholly within (-margin, margin);
- `different`: the interval lies wholly outside [-margin, margin] on one side. An interval that
  excludes zero but not the margin is not `different`: a difference may exist without mattering (a
  minimum-effect test: Murphy and Myors, J. Appl. Psychol. 84 (1999));
- `inconclusive`: anything else.

If the values are normal, each of the first two is wrong in at most a share ALPHA of cases, whatever
the true difference. This holds for one metric of one pair, without a correction for several
metrics. Equivalence in all of several metrics needs no correction (Berger, Technometrics 24
(1982)); a difference in any of them would.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ALPHA",
    "POWER",
    "TRIMMED",
    "MeansResult",
    "compare_means",
    "seeds_needed",
    "trimmed_mean",
]

ALPHA = 0.05
"""Level of each of the two one-sided tests."""
POWER = 0.8
"""The probability of a conclusion with the number of seeds that is reported as needed."""
_MOST = 100_000  # seeds; if more are needed, no number of seeds is reported
_NO_SPREAD = 1e-12  # relative to the largest value: a smaller standard error is rounding


@dataclass(frozen=True)
class MeansResult:
    """The result for one metric over several seeds."""

    outcome: Literal["equivalent", "different", "inconclusive"]
    interval: tuple[float, float] | None = None
    """Interval of the difference candidate - reference at level 1 - 2 * ALPHA, if it exists."""
    needed: int | None = None
    """Seeds of each loop needed for a conclusion, if there is none and a number suffices."""
    why: str = ""
    """Why there is no conclusion."""


def compare_means(
    reference: Sequence[float],
    candidate: Sequence[float],
    margin: float,
    paired: bool,
    exact: bool = False,
) -> MeansResult:
    """Compare one metric by its values for each seed.

    `paired`: the two sequences correspond value by value; otherwise they are independent and may
    differ in length (Welch, Biometrika 34 (1947)). `exact`: both runs computed the same, bit for
    bit, so that there is no spread to estimate.
    """
    if paired and len(reference) != len(candidate):
        raise ValueError("paired values come in pairs")
    not_finite = [value for value in (*reference, *candidate) if not math.isfinite(value)]
    if not_finite:
        return MeansResult("inconclusive", why=f"a value is {not_finite[0]}, not finite")
    count = min(len(reference), len(candidate))
    if count < 2:
        return MeansResult(
            "inconclusive", needed=2, why=f"the number of seeds is {count}; at least 2 are needed"
        )
    if exact and tuple(reference) == tuple(candidate):
        return MeansResult("equivalent", (0.0, 0.0))

    if paired:
        differences = [two - one for one, two in zip(reference, candidate, strict=True)]
        difference, variance = statistics.fmean(differences), statistics.variance(differences)
        error = math.sqrt(variance / count)
        freedom = float(count - 1)

        def freedom_of(seeds: int) -> float:
            return float(seeds - 1)
    else:
        one, two = statistics.variance(reference), statistics.variance(candidate)
        difference = statistics.fmean(candidate) - statistics.fmean(reference)
        variance = one + two
        parts = one / len(reference), two / len(candidate)
        error = math.sqrt(sum(parts))
        freedom = _satterthwaite(one, two, len(reference), len(candidate))

        def freedom_of(seeds: int) -> float:
            return _satterthwaite(one, two, seeds, seeds)

    if error <= _NO_SPREAD * max(map(abs, (*reference, *candidate))):
        why = (
            "the differences have no spread although the runs differ; this happens by chance with "
            "a metric of few values: evaluate on more rows, or use more seeds"
        )
        return MeansResult("inconclusive", why=why)
    half = _quantile(freedom, 1 - ALPHA) * error
    low, high = difference - half, difference + half
    if -margin < low and high < margin:
        return MeansResult("equivalent", (low, high))
    if low > margin or high < -margin:
        return MeansResult("different", (low, high))
    needed = seeds_needed(difference, variance, margin, freedom_of)
    why = f"its interval extends across ±{margin:.3g}; "
    if needed is None:
        why += "the difference is too close to this margin for any number of seeds"
    else:
        why += f"about {needed} seeds are needed at this difference and spread"
    return MeansResult("inconclusive", (low, high), needed, why)


def seeds_needed(
    difference: float,
    variance: float,
    margin: float,
    freedom: Callable[[int], float],
    alpha: float = ALPHA,
) -> int | None:
    """The smallest n for which `compare_means` decides with probability `POWER`; None: no such n.

    `difference`, `variance`: taken as the true ones; the variance of a mean over n seeds is
    variance / n (paired: the variance of the differences; otherwise the sum of both variances).
    `freedom`: degrees of freedom at n. `alpha`: level of each one-sided test. The power, with
    e = sqrt(variance / n), t the (1 - alpha) quantile and T(c) a noncentral t variable, is

    - of `equivalent`, if |difference| < margin: at least
      P(T((difference + margin) / e) > t) + P(T((difference - margin) / e) < -t) - 1;
    - of `different`, otherwise: P(T((|difference| - margin) / e) > t).

    Phillips, J. Pharmacokinet. Biopharm. 18 (1990); Chow, Shao and Wang, "Sample Size Calculations
    in Clinical Research", 3.2.
    """
    from scipy import special  # slow to import, and few commands need it

    def power(seeds: int) -> float:
        degrees, error = freedom(seeds), math.sqrt(variance / seeds)
        t = _quantile(degrees, 1 - alpha)
        if abs(difference) >= margin:
            return 1 - float(special.nctdtr(degrees, (abs(difference) - margin) / error, t))
        above = 1 - float(special.nctdtr(degrees, (difference + margin) / error, t))
        below = float(special.nctdtr(degrees, (difference - margin) / error, -t))
        return above + below - 1

    if power(_MOST) < POWER:
        return None
    low, high = 1, _MOST  # too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def _quantile(freedom: float, share: float) -> float:
    from scipy import special

    return float(special.stdtrit(freedom, share))


def _satterthwaite(one: float, two: float, count_one: int, count_two: int) -> float:
    """Degrees of freedom of the difference of two means; 1 where neither mean has a spread."""
    a, b = one / count_one, two / count_two
    if not a + b:
        return 1.0
    return (a + b) ** 2 / (a**2 / (count_one - 1) + b**2 / (count_two - 1))


TRIMMED = 0.2
"""Share of a session's rounds left out at each end: a round in which the machine was taken away
from one arm says nothing about loops."""


def trimmed_mean(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest `TRIMMED` of the values, rounded down."""
    left_out = int(TRIMMED * len(values))
    return statistics.fmean(sorted(values)[left_out : len(values) - left_out])
