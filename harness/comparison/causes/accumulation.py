"""Causes in what an update is made of: the short window of an epoch, gradients left over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.comparison.causes.cause import Row
from harness.comparison.causes.evidence import Facts
from harness.comparison.causes.run_view import Side, close
from harness.units import number

__all__ = ["ROWS", "window_dropped"]


def _window_runs_on(facts: Facts) -> str | None:
    """A whole window more is added to the short one that an epoch leaves."""
    place = facts.places.get("data_order")
    for side in facts.sides:
        if place is not None and place.step in side.observed("gradients_zeroed_between_backwards"):
            return None  # nothing is left to be added to
    return _window_grows(facts, lambda ours, theirs, whole: ours >= theirs + whole)


def _window_filled_up(facts: Facts) -> str | None:
    """The short window that an epoch leaves is made whole with batches of the next epoch."""
    return _window_grows(facts, lambda ours, _, whole: ours == whole)


def _window_grows(facts: Facts, grows: Callable[[int, int, int], bool]) -> str | None:
    place = facts.places.get("data_order")
    if place is None or place.stage != facts.parts_first_in:
        return None
    for side, other in facts.pairs:
        ours, theirs = side.window(place.step), other.window(place.step)
        per_epoch = other.record.header.steps_per_epoch
        ends = per_epoch and place.step % per_epoch == 0
        common = min(len(side.rows), len(other.rows))
        whole = other.record.spec.recipe.gradient_accumulation_steps
        if not ends or ours <= theirs:
            continue
        if not np.array_equal(side.rows[:common], other.rows[:common]):
            continue
        if grows(ours, theirs, whole):
            return (
                f"the window of {theirs} micro-batches at the end of the epoch, step {place.step}, "
                f"goes on in {side.label} with {ours - theirs} of the next epoch"
            )
    return None


def window_dropped(facts: Facts) -> str | None:
    """An epoch's last, short window makes no update.

    With no backward pass, or with one whose gradients are then zeroed.
    """
    place = facts.places.get("data_order")
    if place is None or facts.parts_first_in not in ("data_order", "learning_rate"):
        return None
    for side, other in facts.pairs:
        short = other.window(place.step)
        per_epoch = other.record.header.steps_per_epoch
        steps = other.record.spec.recipe.gradient_accumulation_steps
        if not per_epoch or place.step % per_epoch or not short < steps:
            continue
        left = {row for _, _, rows in other.batches_at(place.step) for row in rows}
        same_before = np.array_equal(side.rows_before(place.step), other.rows_before(place.step))
        following = [rows for _, _, rows in side.batches_at(place.step)]
        if place.step in side.observed("gradients_zeroed_between_backwards"):
            passed_over, following = following[:short], following[short:]
            if {row for rows in passed_over for row in rows} != left:
                continue
        if same_before and len(following) == steps and set(following[0]) - left:
            return (
                f"{side.label} makes no update from the {short} micro-batches that are left at the "
                f"end of the epoch, step {place.step}"
            )
    return None


def _last_window(facts: Facts) -> str | None:
    regrouped = window_dropped(facts) or _window_filled_up(facts)
    if regrouped:
        return regrouped
    factor = facts.first_factor
    recipe = facts.reference.record.spec.recipe
    steps, window = recipe.gradient_accumulation_steps, facts.reference.window(facts.step)
    per_epoch = facts.reference.record.header.steps_per_epoch
    if factor is None or not per_epoch or facts.step % per_epoch or not 0 < window < steps:
        return None
    for expected, told in (
        (window / steps, f"divided by {steps}, not by its own length"),
        (window, "not divided at all"),
    ):
        side = facts.scaled_side(factor)
        if expected == 1 or not (close(factor, expected) or close(factor, 1 / expected)):
            continue
        if not facts.tells_loss_factors:
            who = "one side's"
        elif side is not None and close(side.loss_factor(facts.step), expected):
            who = f"{side.label}'s"
        else:
            continue
        return (
            f"the last window of the epoch, step {facts.step}, holds {window} micro-batches of "
            f"{steps}: {who} losses are {told}, so gradients are {number(factor)} times the "
            "reference's"
        )
    return None


def _left_over(facts: Facts) -> tuple[Side, Side] | None:
    """The side whose updates began with gradients of those before, and the other."""
    for side, other in facts.pairs:
        if side.observed("gradients_left_over") and not other.observed("gradients_left_over"):
            return side, other
    return None


def _forgot_zero_grad(facts: Facts) -> str | None:
    found = _left_over(facts)
    if found is None or found[0].setting("optimizer.without"):
        return None  # what an optimizer does not hold, it cannot zero
    side, other = found
    norm, (step, *_) = side.applied_norm(1), side.observed("gradients_left_over")
    left = side.values_observed("gradients_left_over")
    if step != 2 or norm is None or not left or not close(left[0], norm):
        return None  # something else than the gradients that the first update was given
    return (
        f"{side.label} begins step 2 with the gradients of step 1; {other.label} begins each with "
        "none"
    )


def _accumulation_leaks(facts: Facts) -> str | None:
    runs_on = _window_runs_on(facts)
    if runs_on:
        return runs_on
    found = _left_over(facts)
    per_epoch = facts.reference.record.header.steps_per_epoch
    if found is None or not per_epoch:
        return None
    step = found[0].observed("gradients_left_over")[0]
    if step == 2 or (step - 1) % per_epoch:
        return None
    return f"{found[0].label} begins the epoch at step {step} with gradients of the one before"


ROWS = (
    Row(
        "last-window",
        "the short window at the end of an epoch is treated otherwise",
        ("gradients", "data_order", "learning_rate", "step_count"),
        _last_window,
        "make an update from it, divided by its own length",
        "transformers#38837",
    ),
    Row(
        "accumulation-leaks",
        "an epoch's short window runs on into the next epoch",
        ("data_order", "gradients"),
        _accumulation_leaks,
        "make an update at the end of each epoch, also from a short window, and zero the gradients",
        "transformers#38837",
    ),
    Row(
        "forgot-zero-grad",
        "gradients are not zeroed between updates",
        ("gradients",),
        _forgot_zero_grad,
        "call optimizer.zero_grad() after each update",
    ),
)
