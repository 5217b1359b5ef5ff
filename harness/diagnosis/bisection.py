"""Binary search for the first place of a sequence that differs from its beginning.

The search assumes one change. A place that is not comparable is skipped; the search continues with
the nearest comparable one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["ChangePlace", "CompareAt", "first_differing_place"]

CompareAt = Callable[[int], Literal["same", "different"] | None]
"""Compare the item at a place with the first one; None: not comparable."""


@dataclass(frozen=True)
class ChangePlace:
    """The two places that enclose the change."""

    last_same: int
    first_different: int
    """The first place that is known to differ. No place between the two was comparable."""


def first_differing_place(count: int, compare_at: CompareAt) -> ChangePlace:
    """Find the change among places 0 to `count - 1`; place 0 is the same, the last one differs.

    Calls `compare_at` at most once for each place between, and about log2(count) times if every
    place is comparable.
    """
    same, different = 0, count - 1
    unknown: set[int] = set()
    while True:
        left = [place for place in range(same + 1, different) if place not in unknown]
        if not left:
            return ChangePlace(same, different)
        middle = (same + different) / 2
        place = _nearest(left, middle)
        outcome = compare_at(place)
        if outcome is None:
            unknown.add(place)
        elif outcome == "same":
            same = place
        else:
            different = place


def _nearest(places: Sequence[int], middle: float) -> int:
    return min(places, key=lambda place: abs(place - middle))
