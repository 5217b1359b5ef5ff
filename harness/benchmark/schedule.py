"""The order and length of turns. Pure arithmetic: no clock, no process."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

__all__ = ["BLOCK_S", "orders", "rounds_that_fit", "steps_per_turn"]

BLOCK_S = 0.3
"""Shortest block: the cost of reading two clocks and of waking up is negligible beside it."""
_MOST_ROUNDS = 40
"""More rounds add little, since most of the spread is then between sessions."""


def orders(arms: int, rounds: int, seed: int) -> list[list[int]]:
    """The order of `arms` arms in each round: rows of a Latin square, shuffled by `seed`.

    In every `arms` rounds from the first on, each arm has each position once. Each square is drawn
    independently, so that no arm always follows the same other arm.
    """
    draw = random.Random(seed)  # noqa: S311  # it only shuffles turns
    found: list[list[int]] = []
    while len(found) < rounds:
        names = draw.sample(range(arms), arms)
        square = [names[shift:] + names[:shift] for shift in range(arms)]
        found += draw.sample(square, arms)
    return found[:rounds]


def steps_per_turn(steady_step_s: Mapping[str, float]) -> int:
    """Steps of each turn, equal for all arms so that they train on the same rows.

    The first step is not timed. The other steps of the fastest arm take at least `BLOCK_S`.
    """
    return 1 + max(1, math.ceil(BLOCK_S / min(steady_step_s.values())))


def rounds_that_fit(arms: int, round_s: float, session_s: float) -> int:
    """Rounds of a session of about `session_s`: a multiple of the arms, for a balanced order."""
    whole = min(session_s / round_s, _MOST_ROUNDS) // arms
    return arms * max(1, int(whole))
