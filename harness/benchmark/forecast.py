"""What a bench will be able to tell, from its first sessions: before the budget is spent.

The spread of a session is that of the log ratios to the reference, pooled over all arms; the
control is one of them. A difference is called if its interval lies beyond the margin, or beyond
what the control is known to if that is more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from harness.benchmark.conclusions import session_ratios
from harness.benchmark.verdicts import ALPHA
from harness.results.sessions import Session
from harness.stats import POWER

__all__ = ["LEAST", "forecast", "visible_ratio"]

LEAST = 2
"""Sessions from which there is a forecast."""


def forecast(
    sessions: Sequence[Session], names: Sequence[str], statistic: str, in_all: int, margin: float
) -> str:
    """Which differences will be called in 4 of 5 benches with `in_all` such sessions.

    `names`: the reference first. Empty with less than `LEAST` sessions.
    """
    if len(sessions) < LEAST or in_all < LEAST:
        return ""
    ratios = session_ratios(sessions, names[0], names[1:], statistic)
    spread = math.sqrt(statistics.fmean(statistics.variance(means) for means in ratios))
    seen = visible_ratio(spread, in_all, margin, len(names) - 2) - 1
    return f"differences above {seen:.1%} will be called in 4 of 5 such benches"


def visible_ratio(spread: float, sessions: int, margin: float, pairs: int) -> float:
    """The smallest ratio above 1 that is called with probability 0.8.

    `spread`: standard deviation of the log ratio of a session. `pairs`: candidates, whose error
    probability is divided among them.
    """
    from scipy import special  # slow to import, and few commands need it

    error = spread / math.sqrt(sessions)
    freedom = sessions - 1
    known_to = float(special.stdtrit(freedom, 1 - ALPHA)) * error
    level = ALPHA / max(1, pairs)
    reach = float(special.stdtrit(freedom, 1 - level) + special.stdtrit(freedom, POWER)) * error
    return math.exp(max(math.log1p(margin), known_to) + reach)
