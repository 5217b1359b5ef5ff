"""Decide between faster, slower, equivalent and inconclusive from the intervals of a bench.

Given a margin m, three claims cover all true ratios r: slower (r > 1 + m), faster (r < 1 / (1 + m))
and equivalent (in between, by two one-sided tests). The control compares identical code with
itself. If its ratio is known less precisely than m, a difference must exceed that imprecision
instead of m. If the control differs from itself, a difference must exceed m by as much as that may
be. In both cases nothing is called equivalent. So a poor control never adds a claim.

Each claim has a one-sided t-test at `ALPHA`. If one claim is true, only the two others can be made
in error. With several pairs the claims follow Holm's procedure (Scand. J. Statist. 6 (1979)), so
that the probability of any false claim is at most about `ALPHA`. The interval shown belongs to the
step of the procedure at which its pair was decided. A claim is made if and only if the interval
lies wholly in its region.

An interval that merely excludes 1 is no claim: with enough sessions any two programs differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.benchmark.intervals import Sample
from harness.stats import POWER, seeds_needed

__all__ = ["ALPHA", "LEAST_SESSIONS", "Control", "Speed", "control_of", "decide_outcomes"]

ALPHA = 0.025
"""Level of each one-sided test; the interval of a single pair is a 95% interval."""
LEAST_SESSIONS = 3
"""Fewest sessions that allow an estimate of the spread."""
_CONTROL_ALPHA = 0.005
"""Level on each side at which the control is found to differ from the reference: a sound bench
is rejected once in 100."""

Claim = Literal["faster", "slower", "equivalent"]


@dataclass(frozen=True)
class Speed:
    """The result for one arm's step time, relative to the reference."""

    outcome: Literal["faster", "slower", "equivalent", "inconclusive"]
    ratio: float
    """Candidate over reference: above 1 is slower."""
    interval: tuple[float, float]
    """The interval of that ratio."""
    level: float
    """Error probability on each side of the interval."""
    smallest_visible: float
    """The smallest true ratio above 1 that this many sessions with this spread would show as slower
    with probability 0.8."""
    sessions_needed: int | None
    """Sessions needed for a conclusion, if there is none; None: no number of sessions suffices."""


@dataclass(frozen=True)
class Control:
    """The comparison of two arms of identical code: is the bench itself sound?"""

    ratio: float
    interval: tuple[float, float]
    """At 95%."""
    least: float
    """A relative difference must exceed this to be claimed. With a good control it is the
    margin."""
    why_not: str
    """Why no conclusion is possible; empty if one is."""
    caution: str
    """Why `least` exceeds the margin and nothing is called equivalent; empty if the control is
    good."""

    @property
    def doubt(self) -> str:
        """Any reason against the control; empty if it is good."""
        return self.why_not or self.caution


def decide_outcomes(
    samples: Mapping[str, Sample], margin: float, least: float = 0.0
) -> dict[str, Speed]:
    """Decide the outcome of each pair, by the candidate's name.

    `margin`: the relative difference that does not matter. `least`: see `Control`. Each sample has
    two sessions or more.
    """
    bound = math.log1p(margin)
    threshold = max(bound, math.log1p(least))
    claims = {name: _claim(sample, bound, threshold) for name, sample in samples.items()}
    left = len(samples)
    holds = True
    found: dict[str, Speed] = {}
    for name in sorted(samples, key=lambda name: claims[name][1]):
        claim, p_value = claims[name]
        level = ALPHA / left
        sample = samples[name]
        holds = holds and p_value < level and len(sample.means) >= LEAST_SESSIONS
        found[name] = _speed(sample, claim if holds else None, level, bound, threshold)
        left -= holds
    return {name: found[name] for name in samples}


def _claim(sample: Sample, bound: float, threshold: float) -> tuple[Claim, float]:
    """The claim with the smallest p-value, and that p-value."""
    p_values: dict[Claim, float] = {
        "slower": sample.p_above(threshold),
        "faster": sample.p_below(-threshold),
    }
    if threshold == bound:
        p_values["equivalent"] = max(sample.p_above(-bound), sample.p_below(bound))
    best = min(p_values, key=lambda claim: p_values[claim])
    return best, p_values[best]


def _speed(
    sample: Sample, claim: Claim | None, level: float, bound: float, threshold: float
) -> Speed:
    from scipy import special

    seen = sample.half_width(level) + float(special.stdtrit(sample.freedom, POWER)) * sample.error
    needed: int | None = None
    if claim is None:
        variance = sample.error**2 * len(sample.means)
        needed = LEAST_SESSIONS
        if variance:
            needed = seeds_needed(sample.mean, variance, bound, lambda n: float(n - 1), level)
    return Speed(
        outcome=claim or "inconclusive",
        ratio=math.exp(sample.mean),
        interval=sample.interval(level),
        level=level,
        smallest_visible=math.exp(threshold + seen),
        sessions_needed=max(needed, LEAST_SESSIONS) if needed is not None else None,
    )


def control_of(sample: Sample, margin: float) -> Control:
    """Compare the reference with its control, which is identical code."""
    interval = sample.interval(ALPHA)
    known_to = math.expm1(sample.half_width(ALPHA))
    why, found, least = "", [], margin
    if len(sample.means) < LEAST_SESSIONS:
        why = f"too few sessions: {len(sample.means)}, but {LEAST_SESSIONS} are needed"
    elif known_to > margin:
        least = known_to
        found.append(
            f"the ratio of identical code to itself is known only to ±{known_to:.1%}, which is "
            f"wider than the margin of {margin:.1%}"
        )
    low, high = sample.interval(_CONTROL_ALPHA)
    if not low <= 1 <= high:
        farthest = max(interval[1], 1 / interval[0])
        least = max(least, (1 + margin) * farthest - 1)
        found.append(
            f"identical code differs from itself by {math.exp(sample.mean) - 1:+.1%}: the bench "
            "favours a position in the order or a process"
        )
    if found:
        found.append(
            f"slower needs the whole interval above {least:+.1%}, faster the whole interval below "
            f"{1 / (1 + least) - 1:+.1%}; nothing counts as equivalent"
        )
    return Control(math.exp(sample.mean), interval, least, why, "; ".join(found))
