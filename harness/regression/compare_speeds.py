"""Compare current speeds with those of a baseline: one measurement, and two combined. Pure.

The ratio to the reference shows whether a single loop changed. The reference's own time shows
whether all loops changed alike. It is compared with the yardstick, a fixed piece of work timed
between the same turns (`harness.benchmark.child.yardstick`). If the yardstick changed as the loops
did, the machine changed. If it did not, the reference's change is shown, but it is no regression
and no improvement: a time of another hour is no measurement of the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.benchmark.verdicts import LEAST_SESSIONS, control_of
from harness.regression.speeds import ALPHA, Change, SpeedChange, Speeds, interval_text
from harness.results.benchmark import CONTROL
from harness.results.regression import CheckItem, Listed

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
_NOT_JUDGED = (
    "A time of another hour is not judged: compare both commits in one session with harness check "
    "--against, or both sets of libraries with harness upgrade"
)
_ENOUGH = 3  # a half-width below visible / 3 needs no further session


@dataclass(frozen=True)
class Tolerance:
    """Which slowdowns count."""

    margin: float = 0.02
    """The relative change that does not matter: a loop is slower only if it exceeds this surely."""
    visible: float = 0.10
    """The slowdown that must be detected: if it cannot be excluded, there is no verdict."""


@dataclass(frozen=True)
class SpeedComparison:
    """The result of one measurement, or of two combined."""

    items: tuple[CheckItem, ...]
    common_change: str = ""
    """If all loops changed alike, what that means; otherwise empty."""

    @property
    def slower(self) -> bool:
        """Whether any item regressed."""
        return any(item.listed == "regressed" for item in self.items)

    @property
    def moved(self) -> bool:
        """Whether any item regressed or improved: then a second measurement is needed."""
        return any(item.listed in ("regressed", "improved") for item in self.items)


def enough_sessions(before: Speeds, now: Speeds, tolerance: Tolerance) -> bool:
    """Whether further sessions would add little: by the widths of the intervals, never by their
    position."""
    if len(now.sessions) < LEAST_SESSIONS or _incomparable_reason(before, now):
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
    """An item for each loop. `now` is None if too few sessions were measured."""
    why = "too few sessions fit into the budget; raise the budget"
    listed: Listed = "inconclusive"
    if now is not None and (reason := _incomparable_reason(before, now)):
        why, listed = reason, "not_comparable"
    elif now is not None:
        rounds = min(before.rounds, now.rounds)
        why = control_of(now.ratios(CONTROL, rounds), tolerance.visible / 2).doubt
    if now is None or why:
        return SpeedComparison(_same_for_all(case, before, listed, why))
    reference, common_change = _reference(case, before, now, rounds, tolerance)
    items = [reference]
    for arm in dict.fromkeys([*before.candidates, *now.candidates]):
        if arm not in now.candidates or arm not in before.candidates:
            where = "this check" if arm not in now.candidates else "the baseline"
            items.append(_item(case, arm, RATIO, "missing", f"{arm}: no times in {where}"))
        else:
            items.append(_candidate(case, before, now, arm, rounds, tolerance))
    ratios = (_ratio(before, now, arm, rounds) for arm in _shared(before, now))
    bounds = tolerance.margin, tolerance.visible
    alike = all(change.classify(*bounds) == "unchanged" for change in ratios)
    return SpeedComparison(tuple(items), common_change if alike else "")


def combine(first: SpeedComparison, second: SpeedComparison) -> SpeedComparison:
    """An item regressed or improved only if both measurements show it.

    If only one shows a regression, the item is inconclusive. If only one shows an improvement, and
    the other excludes a slowdown, the item is unchanged.
    """
    items = []
    later = {(item.loop, item.metric): item for item in second.items}
    for item in first.items:
        again = later.get((item.loop, item.metric))
        listed = {item.listed, again.listed if again is not None else "inconclusive"}
        if again is not None and listed in ({"regressed"}, {"improved"}):
            words = f"{again.sentence}; two measurements in separate sessions agree"
            items.append(again.model_copy(update={"sentence": words}))
        elif listed & {"regressed", "improved"}:
            other = "no result" if again is None else again.sentence
            words = (
                f"the two measurements disagree; first measurement: {item.sentence}; "
                f"second measurement: {other}"
            )
            both: Listed = "unchanged" if listed == {"improved", "unchanged"} else "inconclusive"
            items.append(item.model_copy(update={"listed": both, "sentence": words}))
        else:
            items.append(item)
    alike = first.common_change and second.common_change
    return SpeedComparison(tuple(items), second.common_change if alike else "")


def _incomparable_reason(before: Speeds, now: Speeds) -> str:
    """Why the times of the two are not comparable; empty if they are."""
    for name in ("statistic", "reference", "steps_per_turn"):
        one, two = getattr(before, name), getattr(now, name)
        if one != two:
            return f"timing settings differ: {name} is {one} in the baseline and {two} now"
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
) -> CheckItem:
    """A loop by its ratio to the reference, unless the reference itself changed."""
    change = _ratio(before, now, arm, rounds)
    listed = _LISTED[change.classify(tolerance.margin, tolerance.visible)]
    words = f"{arm} relative to {before.reference}: {_change_text(change)}"
    if listed == "inconclusive":
        words += f"; a slowdown of {tolerance.visible:.0%} is not excluded: raise the budget"
    elif listed == "regressed":
        words += f"; {arm} itself changed"
    own = _relative(before, now, arm, rounds)
    reference = _relative(before, now, before.reference, rounds)
    if own is not None and reference is not None and listed in ("regressed", "improved"):
        unchanged = own.classify(tolerance.margin, tolerance.visible) == "unchanged"
        reference_change = reference.classify(tolerance.margin, tolerance.visible)
        if unchanged and reference_change == ("faster" if listed == "regressed" else "slower"):
            listed = "unchanged"
            words = f"{arm} relative to {before.reference}: {_change_text(change)}"
            words += f"; {before.reference} became {reference_change}, {arm} did not change"
    return _item(case, arm, RATIO, listed, words, change)


def _reference(
    case: str, before: Speeds, now: Speeds, rounds: int, tolerance: Tolerance
) -> tuple[CheckItem, str]:
    """The reference's own time, and the meaning of its change if all loops changed alike."""
    name = before.reference
    bounds = tolerance.margin, tolerance.visible
    absolute = Change(before.absolute(name, rounds), now.absolute(name, rounds))
    relative = _relative(before, now, name, rounds)
    words = f"{name}: {_change_text(absolute)}"
    change = absolute.classify(*bounds)
    if relative is None:
        listed: Listed = "unchanged" if change == "unchanged" else "inconclusive"
        words += "; not every session timed the machine's yardstick, so a slower machine would "
        words += "look the same"
        return _item(case, name, ABSOLUTE, listed, words, absolute), ""
    by_yardstick = relative.classify(*bounds)
    words += (
        f"; {_percent_text(relative)} relative to the machine's yardstick, a fixed piece of work"
    )
    if change == by_yardstick and change in ("unchanged", "inconclusive"):
        listed = _LISTED[change]
    elif change == by_yardstick == "faster":
        listed = "unchanged"
        words += f": no slowdown. {_NOT_JUDGED}"
    elif by_yardstick == "unchanged":
        listed = "unchanged"
        words += ": unchanged relative to the speed of the machine"
    elif change == "unchanged" and _yardstick_unchanged(before, now, rounds, bounds):
        listed = "unchanged"
    else:
        listed = "inconclusive"
    common_change = ""
    if change == by_yardstick == "slower":
        words += f". {_NOT_JUDGED}"
        common_change = (
            f"all loops changed alike: {_change_text(absolute)}; the machine's yardstick did not, "
            "so a library, the workload, shared code or the load of the machine changed. "
            f"{_NOT_JUDGED}"
        )
    elif listed == "unchanged" and change in ("slower", "faster"):
        common_change = (
            f"all loops changed alike: {_change_text(absolute)}; the machine's yardstick changed "
            "with them, so the cause is the machine, not a loop"
        )
    elif listed == "inconclusive":
        words += "; it is not known whether the loops or the machine changed: raise the budget"
    return _item(case, name, ABSOLUTE, listed, words, absolute), common_change


def _yardstick_unchanged(
    before: Speeds, now: Speeds, rounds: int, bounds: tuple[float, float]
) -> bool:
    one, two = before.yardstick(rounds), now.yardstick(rounds)
    return one is not None and two is not None and Change(one, two).classify(*bounds) == "unchanged"


def _change_text(change: Change) -> str:
    return f"time per step {_percent_text(change)} compared with the baseline"


def _percent_text(change: Change) -> str:
    return f"{change.ratio - 1:+.1%} (95% interval {interval_text(change.interval)})"


def _item(
    case: str, arm: str, metric: str, listed: Listed, words: str, change: Change | None = None
) -> CheckItem:
    return CheckItem(
        case=case,
        loop=arm,
        metric=metric,
        tier="speed",
        listed=listed,
        sentence=words,
        ratio=change.ratio if change else None,
        interval=change.interval if change else None,
    )


def _same_for_all(case: str, before: Speeds, listed: Listed, words: str) -> tuple[CheckItem, ...]:
    """One item for each arm of the baseline, all for the same reason."""
    arms = [before.reference, *before.candidates]
    return tuple(_item(case, arm, RATIO, listed, f"{arm}: {words}") for arm in arms)


def other_reference_items(case: str, before: Speeds, now: str) -> SpeedComparison:
    """For a check whose first loop is not the reference of the baseline."""
    words = (
        f"times are relative to {before.reference} in the baseline and to {now} in this check: "
        f"name {before.reference} first in --loops"
    )
    return SpeedComparison(_same_for_all(case, before, "not_comparable", words))


def missing_speed_items(case: str) -> Sequence[CheckItem]:
    """For a baseline without speeds."""
    words = (
        "no times in the baseline: accept the output folder of harness bench, or check with "
        "--exact-only"
    )
    return [_item(case, "", RATIO, "missing", words)]
