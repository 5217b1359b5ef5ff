"""Sessions as a bench leaves them, with ratios that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.results.sessions import Block, Session

__all__ = ["block", "sessions"]


def block(arm: str, number: int, **changed: float | None) -> Block:
    """A block of 4 steps of 0.1 s: 8 rows and 80 tokens a step, 60 of them no padding."""
    facts: dict[str, float | None] = {"delay_s": 0.0, "cpu_s": 0.4, "wall_s": 0.4, **changed}
    steps = 4
    return Block(
        round=number,
        position=1,
        arm=arm,
        steps=steps,
        wall_s=facts["wall_s"] or 0.0,
        cpu_s=facts["cpu_s"] or 0.0,
        delay_s=facts["delay_s"],
        restart_s=0.2,
        samples=8 * steps,
        tokens=60 * steps,
        padded_tokens=80 * steps,
    )


def sessions(ratios: Mapping[str, Sequence[float]], rounds: int = 5) -> list[Session]:
    """One session for each place in `ratios`, by arm: how long its steps are against plain's."""
    count = len(next(iter(ratios.values())))
    found = []
    for number in range(count):
        blocks = [
            block(arm, turn, wall_s=0.4 * ratio, cpu_s=0.4 * ratio)
            for turn in range(1, rounds + 1)
            for arm, ratio in {"plain": 1.0, **{a: r[number] for a, r in ratios.items()}}.items()
        ]
        first = dict.fromkeys(("plain", *ratios), 0.5)
        found.append(Session(number + 1, "a plan", tuple(blocks), first, took_s=20.0))
    return found
