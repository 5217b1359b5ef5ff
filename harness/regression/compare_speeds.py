"""Speeds now against the baseline's: one look, and what two looks say together. Pure.

The ratio to the reference tells whether one loop moved. Whether all moved alike is told by the
reference's own time, compared with the yardstick (`harness.benchmark.child.yardstick`), a fixed
piece of work that was timed between the same turns. If it moved as the loops did, the machine
changed. If it did not, a library, the reference itself or the workload changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.benchmark.verdicts import LEAST_SESSIONS, control_of
from harness.regression.speeds import ALPHA, Change, SpeedChange, Speeds, interval_text
from harness.results.benchmark import CONTROL
from harness.results.regression import GateItem, Listed

__all__ = [
    "SpeedComparison",
    "Tolerance",
    "combine",
    "compare_speeds",
    "enough_sessions",
    "missing_speed_items",
    "other_reference_items",
]

_LISTED: dict[SpeedChange, Listed] = {
    "slower": "regressed",
    "faster": "improved",
    "unchanged": "unchanged",
    "inconclusive": "inconclusive",
}
RATIO, ABSOLUTE = "step_time_ratio", "step_time"
_ENOUGH = 3  # an interval narrower than visible / 3 on each side is not made narrower


@dataclass(frozen=True)
class Tolerance:
    """How much slower is too much."""

    margin: float = 0.02
    """The relative change that does not matter: only what is surely slower by more is called."""
    visible: float = 0.10
    """The slowdown that must not go unseen: where it cannot be ruled out there is no verdict."""


@dataclass(frozen=True)
class SpeedComparison:
    """What one set of sessions says."""

    items: tuple[GateItem, ...]
    common_change: str = ""
    """Where all loops moved alike: what that means."""

    @property
    def slower(self) -> bool:
        """Whether anything would fail."""
        return any(item.listed == "regressed" for item in self.items)


def enough_sessions(before: Speeds, now: Speeds, tolerance: Tolerance) -> bool:
    """Whether more sessions would tell little: by the intervals' width, never by where they lie."""
    if len(now.sessions) < LEAST_SESSIONS or _why_not(before, now):
        return False
    rounds = min(before.rounds, now.rounds)
    changes: list[Change | None] = [
        _ratio(before, now, arm, rounds) for arm in _shared(before, now)
    ]
    changes.append(_relative(before, now, before.reference, rounds))
    widths = [change.half_width for change in changes if change is not None]
    widths.append(now.ratios(CONTROL, rounds).half_width(ALPHA))
    return all(width <= tolerance.visible / _ENOUGH for width in widths)


def compare_speeds(
    case: str, before: Speeds, now: Speeds | None, tolerance: Tolerance
) -> SpeedComparison:
    """Each loop in its list; `now` None: too few sessions were made."""
    why = "too few sessions fitted into the budget; raise it"
    listed: Listed = "inconclusive"
    if now is not None and (unlike := _why_not(before, now)):
        why, listed = unlike, "not_comparable"
    elif now is not None:
        rounds = min(before.rounds, now.rounds)
        why = control_of(now.ratios(CONTROL, rounds), tolerance.visible / 2).doubt
    if now is None or why:
        arms = [before.reference, *before.candidates]
        return SpeedComparison(
            tuple(_item(case, arm, RATIO, listed, f"{arm}: {why}") for arm in arms)
        )
    reference, moved_together = _reference(case, before, now, rounds, tolerance)
    items = [reference]
    for arm in dict.fromkeys([*before.candidates, *now.candidates]):
        if arm not in now.candidates or arm not in before.candidates:
            side = "this check" if arm not in now.candidates else "the baseline"
            items.append(_item(case, arm, RATIO, "missing", f"{arm}: no times in {side}"))
        else:
            items.append(_candidate(case, before, now, arm, rounds, tolerance))
    ratios = (_ratio(before, now, arm, rounds) for arm in _shared(before, now))
    bounds = tolerance.margin, tolerance.visible
    alike = all(change.classify(*bounds) == "unchanged" for change in ratios)
    return SpeedComparison(tuple(items), moved_together if alike else "")


def combine(first: SpeedComparison, second: SpeedComparison) -> SpeedComparison:
    """Only what both looks call slower is; what one of them does is not known."""
    found = []
    later = {(item.loop, item.metric): item for item in second.items}
    for item in first.items:
        again = later.get((item.loop, item.metric))
        if again is not None and item.listed == again.listed == "regressed":
            words = f"{again.words}; two looks in sessions of their own agree"
            found.append(again.model_copy(update={"words": words}))
        elif item.listed == "regressed" or (again is not None and again.listed == "regressed"):
            other = "the other one" if again is None else f"{again.words} in the second look"
            words = f"{item.words} in the first look; {other}: the two do not agree"
            found.append(item.model_copy(update={"listed": "inconclusive", "words": words}))
        else:
            found.append(item)
    both = first.common_change and second.common_change
    return SpeedComparison(tuple(found), second.common_change if both else "")


def _why_not(before: Speeds, now: Speeds) -> str:
    """Why times of the two cannot be held against each other; empty: they can."""
    for name in ("statistic", "reference", "steps_per_turn"):
        one, two = getattr(before, name), getattr(now, name)
        if one != two:
            return f"times were taken otherwise: {name} {one} then, {two} now"
    return ""


def _shared(before: Speeds, now: Speeds) -> list[str]:
    return [arm for arm in before.candidates if arm in now.candidates]


def _ratio(before: Speeds, now: Speeds, arm: str, rounds: int) -> Change:
    return Change(before.ratios(arm, rounds), now.ratios(arm, rounds))


def _relative(before: Speeds, now: Speeds, arm: str, rounds: int) -> Change | None:
    one, two = before.relative(arm, rounds), now.relative(arm, rounds)
    return None if one is None or two is None else Change(one, two)


def _candidate(
    case: str, before: Speeds, now: Speeds, arm: str, rounds: int, tolerance: Tolerance
) -> GateItem:
    """A loop by its ratio to the reference, unless it was the reference that moved."""
    change = _ratio(before, now, arm, rounds)
    listed = _LISTED[change.classify(tolerance.margin, tolerance.visible)]
    told = f"{arm} against {before.reference}: {_told(change)} time a step than in the baseline"
    if listed == "inconclusive":
        told += f"; {tolerance.visible:.0%} slower is not ruled out: raise the budget"
    elif listed == "regressed":
        told += f": {arm} itself moved"
    own = _relative(before, now, arm, rounds)
    other = _relative(before, now, before.reference, rounds)
    if own is not None and other is not None and listed in ("regressed", "improved"):
        alone = own.classify(tolerance.margin, tolerance.visible) == "unchanged"
        moved = other.classify(tolerance.margin, tolerance.visible)
        if alone and moved == ("faster" if listed == "regressed" else "slower"):
            listed = "unchanged"
            told += f"; it is {before.reference} that became {moved}, not {arm}"
    return _item(case, arm, RATIO, listed, told, change)


def _reference(
    case: str, before: Speeds, now: Speeds, rounds: int, tolerance: Tolerance
) -> tuple[GateItem, str]:
    """The reference's own time, and what is said where all loops moved as it did."""
    name = before.reference
    bounds = tolerance.margin, tolerance.visible
    absolute = Change(before.absolute(name, rounds), now.absolute(name, rounds))
    relative = _relative(before, now, name, rounds)
    told = f"{name} by itself: {_told(absolute)} time a step than in the baseline"
    moved = absolute.classify(*bounds)
    if relative is None:
        listed: Listed = "unchanged" if moved == "unchanged" else "inconclusive"
        words = f"{told}; no yardstick of the machine in both, so a slower machine looks the same"
        return _item(case, name, ABSOLUTE, listed, words, absolute), ""
    by_machine = relative.classify(*bounds)
    told += f", {_told(relative)} in units of the machine's yardstick"
    if moved == by_machine:
        listed = _LISTED[moved]
    elif by_machine == "unchanged":
        listed = "unchanged"
        told += ": the machine, which is that much slower or faster today"
    elif moved == "unchanged" and _still(before, now, rounds, bounds):
        listed = "unchanged"
    else:
        listed = "inconclusive"
    sentence = ""
    if listed == "regressed":
        sentence = (
            f"all loops moved alike ({_told(absolute)} time a step) and the machine's own "
            "yardstick did not: a library, the workload or what all loops share, not one loop"
        )
    elif listed == "unchanged" and moved in ("slower", "faster"):
        sentence = (
            f"all loops moved alike ({_told(absolute)} time a step), and so did the machine's own "
            "yardstick: it is the machine, not a loop"
        )
    elif listed == "inconclusive":
        told += "; whether all loops or the machine moved is not known: raise the budget"
    return _item(case, name, ABSOLUTE, listed, told, absolute), sentence


def _still(before: Speeds, now: Speeds, rounds: int, bounds: tuple[float, float]) -> bool:
    """Whether the yardstick itself took as long as before."""
    one, two = before.yardstick(rounds), now.yardstick(rounds)
    return one is not None and two is not None and Change(one, two).classify(*bounds) == "unchanged"


def _told(change: Change) -> str:
    return f"{change.ratio - 1:+.1%} (95% interval {interval_text(change.interval)})"


def _item(
    case: str, arm: str, metric: str, listed: Listed, words: str, change: Change | None = None
) -> GateItem:
    return GateItem(
        case=case,
        loop=arm,
        metric=metric,
        tier="speed",
        listed=listed,
        words=words,
        ratio=change.ratio if change else None,
        interval=change.interval if change else None,
    )


def other_reference_items(case: str, before: Speeds, now: str) -> SpeedComparison:
    """Where this check's ratios would be to another loop than the baseline's."""
    words = f"its times are held against {before.reference} in the baseline, against {now} here"
    remedy = f"name {before.reference} first in --loops"
    arms = [before.reference, *before.candidates]
    told = f"{words}: {remedy}"
    return SpeedComparison(
        tuple(_item(case, arm, RATIO, "not_comparable", f"{arm}: {told}") for arm in arms)
    )


def missing_speed_items(case: str) -> Sequence[GateItem]:
    """Where the baseline holds none."""
    words = (
        "no times in the baseline: accept the output folder of harness bench, or check with "
        "--exact-only"
    )
    return [_item(case, "", RATIO, "missing", words)]
