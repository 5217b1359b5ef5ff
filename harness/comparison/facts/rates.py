"""Statements about learning rates and their schedule, from the rates of the recorded steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from harness.comparison.factors import UNIFORM
from harness.comparison.facts.ground import Ground
from harness.comparison.facts.statement import Statement, against
from harness.units import number

__all__ = ["learning_rate", "schedule", "schedule_length"]

_SAME = 1e-9  # relative; rates are computed by formulas that round


def learning_rate(ground: Ground) -> Iterator[Statement]:
    """Rates that differ by one factor at each step, as another peak makes them."""
    if "learning_rate" not in ground.evidence.firsts:
        return
    one, two = _common(ground)
    ratio = _one_ratio(one, two)
    settings = ground.values("optimizer.learning_rate")
    set_alike = all(isinstance(value, int | float) and value for value in settings)
    ratio_set = settings[1] / settings[0] if set_alike else math.nan
    if ratio is not None and abs(ratio - 1) > _SAME:
        place = next(k for k, rate in enumerate(one) if rate)
        values = (one[place], two[place])
        by_setting = math.isclose(ratio_set, ratio, rel_tol=_SAME) and not any(_set_later(ground))
        text = f"learning rate {against(*(settings if by_setting else values)[::-1])}"
        if not by_setting:
            text += f" at step {place + 1}"
            settings = values
            if len({*one}) > 1:
                text += f", {number(ratio)} times at each step"
        yield _of_optimizer(ground, text, settings, ground.stage == "learning_rate")
    elif (
        ground.stage == "learning_rate"
        and math.isclose(ratio_set, _peak_ratio(one, two), rel_tol=UNIFORM)
        and abs(ratio_set - 1) > UNIFORM
    ):
        yield _of_optimizer(ground, f"learning rate {against(*settings[::-1])}", settings, True)
    elif ground.stage == "learning_rate" and ratio is not None:
        yield from _of_one_parameter(ground)


def _of_one_parameter(ground: Ground) -> Iterator[Statement]:
    """The rate of the first parameter that differs, where the highest rates are equal."""
    first = ground.evidence.first
    if first is None or first.tensor is None:
        return
    one, two = (
        value[0] if isinstance(value, list) and len(value) == 1 else value
        for value in (first.reference, first.candidate)
    )
    text = f"learning rate of {first.tensor} {against(two, one)} at step {first.step}"
    yield Statement("learning_rate", text, one, two, explains=True, sites=_sites(ground))


def _of_optimizer(
    ground: Ground, text: str, values: tuple[float, float], explains: bool
) -> Statement:
    return Statement("learning_rate", text, *values, explains=explains, sites=_sites(ground))


def _set_later(ground: Ground) -> tuple[bool, bool]:
    """Whether the rates of reference and candidate are not those their optimizers were made with,
    and no schedule of torch set them: the line that did is not known."""
    one, two = ground.values("optimizer.rate_set_later")
    return one is True, two is True


def _sites(ground: Ground) -> tuple[str, str]:
    """The line of the optimizer, where it is the one that set the rate."""
    one, two = ("" if later else "optimizer" for later in _set_later(ground))
    return one, two


def schedule(ground: Ground) -> Iterator[Statement]:
    """Another course of the rates: constant, warm-up, fall."""
    if "learning_rate" not in ground.evidence.firsts:
        return
    one, two = _common(ground)
    if not one or _one_ratio(one, two) is not None:
        return
    courses = _course(one), _course(two)
    if courses[0] == courses[1] or "" in courses or ground.begins > 1:
        step = ground.step
        if (
            ground.stage == "learning_rate"
            and 0 < step <= len(one)
            and one[step - 1] != two[step - 1]
        ):
            values = one[step - 1], two[step - 1]
            text = f"learning rate {against(*values[::-1])} at step {step}{_lengths(ground)}"
            yield Statement("learning_rate", text, *values, explains=True)
        return
    text = f"learning-rate schedule {courses[1]}, against {courses[0]}{_lengths(ground)}"
    sites = ("schedule", "schedule")
    if _same_values(one, two):
        text += "; both take the same values in the same order, for other numbers of updates"
        sites = ("", "")  # it is not the lines that made them
    yield Statement("schedule", text, one, two, ground.stage == "learning_rate", sites=sites)


def _same_values(one: Sequence[float], two: Sequence[float]) -> bool:
    """Whether one run goes through the first rates of the other, two or more, at its own pace."""
    shorter, longer = sorted(
        ([rate for rate, _ in groupby(rates)] for rates in (one, two)), key=len
    )
    return len(shorter) > 1 and shorter == longer[: len(shorter)]


def _lengths(ground: Ground) -> str:
    """How many updates the runs made, if not as many as each other."""
    one, two = (len(run.rates) for run in ground.runs)
    return "" if one == two else f"; {two} updates against {one}"


def schedule_length(ground: Ground) -> Iterator[Statement]:
    """The number of steps over which a schedule is planned."""
    planned = [
        value.get("steps") if isinstance(value, dict) else None
        for value in ground.values("schedule")
    ]
    one, two = planned
    if isinstance(one, int) and isinstance(two, int) and one != two:
        yield Statement(
            "schedule_length",
            f"schedule over {against(two, one)} steps",
            one,
            two,
            explains=ground.stage in ("learning_rate", "step_count"),
            sites=("schedule", "schedule"),
        )


def _common(ground: Ground) -> tuple[list[float], list[float]]:
    """The highest rates of the steps that both runs made."""
    one, two = (run.rates for run in ground.runs)
    count = min(len(one), len(two))
    return one[:count], two[:count]


def _one_ratio(one: Sequence[float], two: Sequence[float]) -> float | None:
    """Candidate / reference, if it is the same at each step; None if it is not."""
    if any((a == 0) != (b == 0) or not math.isfinite(a + b) for a, b in zip(one, two, strict=True)):
        return None
    ratios = [b / a for a, b in zip(one, two, strict=True) if a]
    if not ratios or max(ratios) - min(ratios) > _SAME * abs(ratios[0]):
        return None
    return ratios[0]


def _peak_ratio(one: Sequence[float], two: Sequence[float]) -> float:
    peaks = max(one, default=math.nan), max(two, default=math.nan)
    return peaks[1] / peaks[0] if peaks[0] else math.nan


def _course(rates: Sequence[float]) -> str:
    """How the rates go, in words: 'rising from 0 to 5e-05 at step 3, then constant'.

    Empty if they do not rise to one peak and fall from there.
    """
    top = max(rates)
    peak = rates.index(top)
    if any(two < one for one, two in pairwise(rates[: peak + 1])) or any(
        two > one for one, two in pairwise(rates[peak:])
    ):
        return ""
    if all(_equal(rate, rates[0]) for rate in rates):
        return f"constant at {number(rates[0])}"
    words = []
    if peak:
        low, high = _distinct(rates[0], top)
        words.append(f"rising from {low} to {high} at step {peak + 1}")
    after = rates[peak:]
    if len(after) > 1:
        high, low = _distinct(top, after[-1])
        last = f"{low} at step {len(rates)}"
        begin = "" if peak and high == number(top) else f"from {high} "
        if all(_equal(rate, top) for rate in after):
            words.append("then constant")
        elif _is_linear(after):
            words.append(f"falling linearly {begin}to {last}")
        else:
            words.append(f"falling {begin}to {last}")
    return ", ".join(words)


def _distinct(one: float, two: float) -> tuple[str, str]:
    """Two rates with four digits, or as many more as show that they differ; 17 show it of any."""
    pairs = ((number(one, digits), number(two, digits)) for digits in range(4, 18))
    short = number(one), number(two)
    return next((texts for texts in pairs if texts[0] != texts[1] or one == two), short)


def _is_linear(rates: Sequence[float]) -> bool:
    drops = [a - b for a, b in pairwise(rates)]
    return all(drop > 0 and abs(drop - drops[0]) <= 1e-6 * rates[0] for drop in drops)


def _equal(one: float, two: float) -> bool:
    return math.isclose(one, two, rel_tol=_SAME)
