"""Whose turn it is, and how long a turn is. Pure arithmetic: no clock, no process."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

__all__ = ["BLOCK_S", "orders", "rounds_that_fit", "steps_per_turn"]

BLOCK_S = 0.3
"""A block is at least so long, that reading two clocks and being woken up vanish beside it."""
_MOST_ROUNDS = 40
"""More in a session tell little: what varies between sessions is then most of the spread."""


def orders(arms: int, rounds: int, seed: int) -> list[list[int]]:
    """The order of `arms` arms in each round: rows of a Latin square, shuffled by `seed`.

    In each `arms` rounds from the first on, every arm has every position once. Each further square
    is drawn anew, so that no arm always follows the same other one.
    """
    draw = random.Random(seed)  # noqa: S311  # it shuffles turns and guards nothing
    found: list[list[int]] = []
    while len(found) < rounds:
        names = draw.sample(range(arms), arms)
        square = [names[shift:] + names[:shift] for shift in range(arms)]
        found += draw.sample(square, arms)
    return found[:rounds]


def steps_per_turn(steady_step_s: Mapping[str, float]) -> int:
    """Steps of each turn, alike for all arms so that they train on the same rows.

    The first one is not counted; the others of the fastest arm take at least `BLOCK_S`.
    """
    return 1 + max(1, math.ceil(BLOCK_S / min(steady_step_s.values())))


def rounds_that_fit(arms: int, round_s: float, session_s: float) -> int:
    """Rounds of a session of about `session_s`: a multiple of the arms, so that it is balanced."""
    whole = min(session_s / round_s, _MOST_ROUNDS) // arms
    return arms * max(1, int(whole))
