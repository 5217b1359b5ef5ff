"""Faster, slower, equivalent, or not known: what the intervals of a bench allow one to say.

Three claims share out all true ratios r, given a margin m: r > 1 + m (slower), r < 1 / (1 + m)
(faster), and what lies between (equivalent: two one-sided tests). Where identical code beside
itself is known less well than to m, a difference must exceed that instead; where it differs from
itself, it must exceed m by as much as that may be; and nothing is called equivalent then. So no
claim is made that would not be made with a good control. Each claim has a one-sided t-test
at `ALPHA`; where one claim is true, only the two others can be made in error. With several pairs
the claims are made by Holm's steps (Scand. J. Statist. 6 (1979)), so that any false claim at all
among them has a probability of at most about `ALPHA`. The interval shown is the one of the step at
which its pair was judged: a claim is made if and only if the interval lies wholly in its region.

That a ratio merely leaves out 1 is no claim: with enough sessions any two programs differ.
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
"""Level of each one-sided test; the interval of a single pair is one at 95%."""
LEAST_SESSIONS = 3
"""Fewer show no spread worth the name."""
_CONTROL_ALPHA = 0.005
"""By which the control is found to differ from its like: a sound bench is refused once in 100."""

Claim = Literal["faster", "slower", "equivalent"]


@dataclass(frozen=True)
class Speed:
    """What is known of one arm's time for a step, against the reference's."""

    outcome: Literal["faster", "slower", "equivalent", "inconclusive"]
    ratio: float
    """Candidate over reference: above 1 is slower."""
    interval: tuple[float, float]
    """Of that ratio."""
    level: float
    """Which this interval leaves out on each side."""
    smallest_visible: float
    """The smallest true ratio above 1 that as many sessions with this spread would have called
    slower with probability 0.8."""
    sessions_needed: int | None
    """Sessions for an answer, where there is none; None: no number of them would give it."""


@dataclass(frozen=True)
class Control:
    """Two arms of identical code beside each other: is the bench itself sound?"""

    ratio: float
    interval: tuple[float, float]
    """At 95%."""
    least: float
    """What is not larger than this relative difference is not called one: the margin, where the
    control is good."""
    why_not: str
    """Why nothing may be concluded; empty where something may."""
    caution: str
    """Why `least` is more than the margin and nothing is called equivalent; empty where the
    control is good."""

    @property
    def doubt(self) -> str:
        """Why it is not as good as it should be; empty where it is."""
        return self.why_not or self.caution


def decide_outcomes(
    samples: Mapping[str, Sample], margin: float, least: float = 0.0
) -> dict[str, Speed]:
    """A verdict for each pair, by the candidate's name.

    `margin`: the relative difference that does not matter. `least`: see `Control`. Each sample has
    two sessions or more.
    """
    bound = math.log1p(margin)
    apart = max(bound, math.log1p(least))
    claims = {name: _claim(sample, bound, apart) for name, sample in samples.items()}
    left = len(samples)
    still = True
    found: dict[str, Speed] = {}
    for name in sorted(samples, key=lambda name: claims[name][1]):
        claim, p_value = claims[name]
        level = ALPHA / left
        sample = samples[name]
        still = still and p_value < level and len(sample.means) >= LEAST_SESSIONS
        found[name] = _speed(sample, claim if still else None, level, bound, apart)
        left -= still
    return {name: found[name] for name in samples}


def _claim(sample: Sample, bound: float, apart: float) -> tuple[Claim, float]:
    """The claim that is least likely to be wrong, and its p-value."""
    p_values: dict[Claim, float] = {
        "slower": sample.p_above(apart),
        "faster": sample.p_below(-apart),
    }
    if apart == bound:
        p_values["equivalent"] = max(sample.p_above(-bound), sample.p_below(bound))
    best = min(p_values, key=lambda claim: p_values[claim])
    return best, p_values[best]


def _speed(sample: Sample, claim: Claim | None, level: float, bound: float, apart: float) -> Speed:
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
        smallest_visible=math.exp(apart + seen),
        sessions_needed=max(needed, LEAST_SESSIONS) if needed is not None else None,
    )


def control_of(sample: Sample, margin: float) -> Control:
    """Judge an arm against another one of identical code."""
    interval = sample.interval(ALPHA)
    known_to = math.expm1(sample.half_width(ALPHA))
    why, found, least = "", [], margin
    if len(sample.means) < LEAST_SESSIONS:
        why = f"{len(sample.means)} sessions are too few: {LEAST_SESSIONS} are needed"
    elif known_to > margin:
        least = known_to
        found.append(
            f"identical code beside itself is known only to ±{known_to:.1%}, which is wider than "
            f"the margin of {margin:.1%}"
        )
    low, high = sample.interval(_CONTROL_ALPHA)
    if not low <= 1 <= high:
        farthest = max(interval[1], 1 / interval[0])
        least = max(least, (1 + margin) * farthest - 1)
        found.append(
            f"identical code differs from itself by {math.exp(sample.mean) - 1:+.1%}: something "
            "here favours a place in the order or a process"
        )
    if found:
        found.append(
            f"only what exceeds {least:.1%} is called slower or faster, and nothing equivalent"
        )
    return Control(math.exp(sample.mean), interval, least, why, "; ".join(found))
