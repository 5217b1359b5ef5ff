"""The sessions of a benchmark: rounds, rounds left out, and time lost to other processes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.report.document import Column, Table
from harness.report.plots.benchmark import seconds_per_step
from harness.results.benchmark import CONTROL
from harness.results.sessions import Session
from harness.stats import TRIMMED, trimmed_mean
from harness.units import quantity

__all__ = ["rounds_left_out", "sessions_table"]

_COLUMNS = (
    Column("session"),
    Column("rounds"),
    Column("took"),
    Column("lost to other processes", note="of wall time"),
    Column("control", note="reference / itself"),
    Column("rounds left out", "prose"),
)
_CAPTION = (
    "Lost to other processes: share of the blocks' wall time in which a loop was ready to run and "
    "the machine ran another process. Control: the reference compared with itself. Rounds left "
    f"out: for each pair, the {TRIMMED:.0%} lowest and highest ratios of a session, because a "
    "round in which one arm lost the machine contains no information about the loops. The first "
    "step of each turn is not counted, because it includes the cost of the change of turns."
)


def sessions_table(
    case: str, sessions: Sequence[Session], arms: Sequence[str], statistic: str
) -> Table:
    """A row for each session; the first arm is the reference."""
    rows = tuple(_row(session, arms, statistic) for session in sessions)
    return Table(f"Sessions, {case}", _COLUMNS, rows, _CAPTION)


def rounds_left_out(session: Session, one: str, two: str, statistic: str) -> list[int]:
    """The rounds that the trimmed mean of the two arms' ratios leaves out."""
    ratios = _ratios(session, one, two, statistic)
    count = int(TRIMMED * len(ratios))
    order = sorted(ratios, key=lambda number: ratios[number])
    return sorted(order[:count] + order[len(order) - count :])


def _ratios(session: Session, one: str, two: str, statistic: str) -> dict[int, float]:
    """Round -> log ratio of the second arm's time to the first arm's."""
    seconds: dict[str, dict[int, float]] = {one: {}, two: {}}
    for block in session.blocks:
        if block.arm in seconds:
            seconds[block.arm][block.round] = seconds_per_step(block, statistic)
    return {
        number: math.log(seconds[two][number] / value)
        for number, value in sorted(seconds[one].items())
        if number in seconds[two]
    }


def _row(session: Session, arms: Sequence[str], statistic: str) -> tuple[str, ...]:
    reference = arms[0]
    control = list(_ratios(session, reference, CONTROL, statistic).values())
    dropped = (
        (arm, rounds_left_out(session, reference, arm, statistic))
        for arm in arms
        if arm != reference
    )
    return (
        str(session.number),
        str(len({block.round for block in session.blocks})),
        quantity(session.took_s, "s"),
        _lost(session),
        f"{math.expm1(trimmed_mean(control)):+.2%}" if control else "-",
        "; ".join(f"{arm} {', '.join(map(str, rounds))}" for arm, rounds in dropped if rounds)
        or "none: too few rounds",
    )


def _lost(session: Session) -> str:
    """The share of wall time in which a loop was ready and did not run."""
    wall_s = sum(block.wall_s for block in session.blocks)
    delays = [block.delay_s for block in session.blocks if block.delay_s is not None]
    if len(delays) < len(session.blocks):
        return "not recorded"
    return f"{sum(delays) / wall_s:.1%}"
