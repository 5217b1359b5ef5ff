"""One session: each arm in a new process; all stay alive, and one at a time takes its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from harness.benchmark.schedule import orders, rounds_that_fit, steps_per_turn
from harness.results.sessions import Block, Session

__all__ = [
    "WARM_UP_STEPS",
    "OutOfTime",
    "Participant",
    "SessionRequest",
    "Start",
    "TrainingEnded",
    "Turn",
    "run_session",
]

WARM_UP_STEPS = 3
"""Steps after the first one; the last two measure the length of a step."""

Turn = dict[str, Any]
"""A report on a turn, see `harness.execution.child.turns`."""


class TrainingEnded(Exception):
    """A participant has made its last step, so it has no further turn."""


class OutOfTime(Exception):
    """The deadline of a bench came while a participant started or took its turn."""


class Participant(Protocol):
    """One training that takes turns. Each method raises `OutOfTime`, and if an arm ends or hangs
    `TrainingEnded`, `RunFailed` or `SpecError`."""

    def first_step_s(self) -> float | None:
        """Make the first step; its seconds, or None if they are not known."""

    def turn(self, steps: int) -> Turn:
        """Make `steps` steps."""

    def block(self, steps: int, number: int, position: int) -> Block:
        """The same, as a block of round `number` of a session."""


Start = Callable[[str, float], AbstractContextManager[Mapping[str, Participant]]]
"""Starts the participants of a phase with that name, and ends them. They raise `OutOfTime` at a
time of the monotonic clock."""
OnRound = Callable[[int, int], None]
"""Called after each round with its number and the planned number of rounds."""


@dataclass(frozen=True)
class SessionRequest:
    """One session, and how long it may last."""

    start: Start
    number: int
    plan: str
    """See `Session`."""
    seed: int
    """Of the order of the turns."""
    steps: int | None
    """Steps of each turn; None: enough for a measurable block."""
    rounds: int | None
    """The exact number, also if it is not balanced; None: as many as fit into `session_s`."""
    session_s: float
    deadline: float
    """By the monotonic clock."""
    on_round: OnRound
    most_steps: int | None = None
    """Steps of each training in all; None: no limit."""


def run_session(request: SessionRequest) -> Session | None:
    """Run a session. Returns None if it ends before each arm had each position once.

    It ends with the last balanced set of rounds before its limit, before its deadline, or before a
    training ends. Raises `RunFailed` if an arm fails or hangs, and `SpecError` if one refuses its
    recipe or cannot take turns.
    """
    began = time.monotonic()
    blocks: list[Block] = []
    first: dict[str, float] = {}
    arms = 0
    with (
        suppress(OutOfTime, TrainingEnded),  # the balanced sets before it count
        request.start(f"session {request.number}", request.deadline) as processes,
    ):
        arms = len(processes)
        _take_turns(request, began, processes, blocks, first)
    unit = arms * arms if request.rounds is None else arms
    whole = len(blocks) // unit * unit if arms else 0
    if not whole or (request.rounds is not None and blocks[whole - 1].round < request.rounds):
        return None
    took_s = time.monotonic() - began
    return Session(request.number, request.plan, tuple(blocks[:whole]), first, took_s)


def _take_turns(
    request: SessionRequest,
    began: float,
    processes: Mapping[str, Participant],
    blocks: list[Block],
    first: dict[str, float],
) -> None:
    """Warm each participant up, then add the blocks of one round after the other."""
    names = list(processes)
    turn_order = [names[index] for index in orders(len(names), 1, request.seed)[0]]
    for name in turn_order:
        seconds = processes[name].first_step_s()
        if seconds is not None:
            first[name] = seconds
    steady, wall_s = {}, 0.0
    for name in turn_order:
        turn = processes[name].turn(WARM_UP_STEPS)
        steady[name] = (turn["wall_s"] - (turn["delay_s"] or 0.0)) / turn["steps"]
        wall_s += turn["wall_s"] / turn["steps"]
    steps = steps_per_turn(steady) if request.steps is None else request.steps
    most_steps = None if request.most_steps is None else request.most_steps - 1 - WARM_UP_STEPS
    if most_steps is not None:  # of a short training, so that each arm has each position once
        steps = max(2, min(steps, most_steps // len(names)))
    rounds, until = request.rounds, request.deadline
    if rounds is None:
        start_s = time.monotonic() - began
        # Otherwise most of a bench would be spent on starting processes.
        left_s = max(request.session_s - start_s, 2 * start_s)
        rounds = rounds_that_fit(len(names), wall_s * steps, left_s)
        until = min(until, time.monotonic() + left_s)
    if most_steps is not None:
        rounds = min(rounds, most_steps // steps // len(names) * len(names))
    for index, order in enumerate(orders(len(names), rounds, request.seed)):
        since = time.monotonic()
        for position, arm in enumerate(order, start=1):
            blocks.append(processes[names[arm]].block(steps, index + 1, position))
        request.on_round(index + 1, rounds)
        square_s = (time.monotonic() - since) * len(names)
        if (index + 1) % len(names) == 0 and time.monotonic() + square_s > until:
            break
