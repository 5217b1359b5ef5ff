"""One session: each arm in a new process; all stay alive, and one at a time takes its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.benchmark.arm_process import running
from harness.benchmark.arms import STEPS_AHEAD, Arm
from harness.benchmark.schedule import orders, rounds_that_fit, steps_per_turn
from harness.results.sessions import Block, Session

__all__ = ["run_session"]

_WARM_UP_STEPS = 3
"""Steps after the first one; the last two measure the length of a step."""

OnRound = Callable[[int, int], None]
"""Called after each round with its number and the planned number of rounds."""


def run_session(
    arms: Sequence[Arm],
    number: int,
    plan: str,
    seed: int,
    steps: int | None,
    rounds: int | None,
    session_s: float,
    deadline: float,
    logs: Path,
    timeout_s: float,
    on_round: OnRound,
) -> Session | None:
    """Run a session. Returns None if the `deadline` comes before each arm had each position once.

    `steps`: of each turn; None: enough for a measurable block. `rounds`: the exact number; None: as
    many as fit into about `session_s` seconds. `deadline`: by the monotonic clock. A session ends
    with the last balanced set of rounds before its limit. Raises `RunFailed` if an arm ends or
    hangs, and `SpecError` if one refuses its recipe.
    """
    began = time.monotonic()
    blocks: list[Block] = []
    with running(list(arms), "turns", logs, timeout_s, f"session {number}") as processes:
        names = list(processes)
        turn_order = [names[index] for index in orders(len(names), 1, seed)[0]]
        first = {name: processes[name].turn(1)["restart_s"] for name in turn_order}
        steady, wall_s = {}, 0.0
        for name in turn_order:
            turn = processes[name].turn(_WARM_UP_STEPS)
            steady[name] = (turn["wall_s"] - (turn["delay_s"] or 0.0)) / turn["steps"]
            wall_s += turn["wall_s"] / turn["steps"]
        if steps is None:
            steps = steps_per_turn(steady)
        until = deadline
        if rounds is None:
            start_s = time.monotonic() - began
            # Otherwise most of a bench would be spent on starting processes.
            left_s = max(session_s - start_s, 2 * start_s)
            rounds = rounds_that_fit(len(names), wall_s * steps, left_s)
            until = min(deadline, time.monotonic() + left_s)
        rounds = min(rounds, (STEPS_AHEAD - 1 - _WARM_UP_STEPS) // steps)
        for index, order in enumerate(orders(len(names), rounds, seed)):
            since = time.monotonic()
            for position, arm in enumerate(order, start=1):
                blocks.append(processes[names[arm]].block(steps, index + 1, position))
            on_round(index + 1, rounds)
            balanced = (index + 1) % len(names) == 0
            square_s = (time.monotonic() - since) * len(names)
            if balanced and time.monotonic() + square_s > until:
                break
            if not balanced and index < len(names) and time.monotonic() > deadline:
                return None
    return Session(number, plan, tuple(blocks), first, time.monotonic() - began)
