"""The first of several in a row that differs from the one at their beginning, found in few looks.

It is assumed that there is one place from which on they differ. What cannot be judged is passed
over, and the nearest to it is looked at instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["ChangePlace", "CompareAt", "first_differing_place"]

CompareAt = Callable[[int], Literal["same", "different"] | None]
"""What the one at a place is; None: it cannot be judged."""


@dataclass(frozen=True)
class ChangePlace:
    """Between which two places the change is."""

    last_same: int
    first_different: int
    """The first that is known to be; those between the two could not be judged."""


def first_differing_place(count: int, compare_at: CompareAt) -> ChangePlace:
    """The change among places 0 to `count - 1`, of which 0 is the same and the last is different.

    `judge` is asked once at most about each place between, about log2(count) times where it always
    knows.
    """
    same, different = 0, count - 1
    unknown: set[int] = set()
    while True:
        left = [place for place in range(same + 1, different) if place not in unknown]
        if not left:
            return ChangePlace(same, different)
        middle = (same + different) / 2
        place = _nearest(left, middle)
        found = compare_at(place)
        if found is None:
            unknown.add(place)
        elif found == "same":
            same = place
        else:
            different = place


def _nearest(places: Sequence[int], middle: float) -> int:
    return min(places, key=lambda place: abs(place - middle))
