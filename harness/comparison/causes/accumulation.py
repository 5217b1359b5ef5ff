"""Causes in gradient accumulation: an epoch's short last window, and leftover gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.counter_evidence import RESUMED
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView, close
from harness.units import number

__all__ = ["RULES", "window_dropped"]


def _micro_batches(count: int) -> str:
    return "1 micro-batch" if count == 1 else f"{count} micro-batches"


def _window_runs_on(evidence: Evidence) -> str | None:
    """The epoch's short last window continues with a whole window of the next epoch."""
    place = evidence.firsts.get("data_order")
    for run in evidence.runs:
        if place is not None and place.step in run.observed("gradients_zeroed_between_backwards"):
            return None  # the gradients of the short window were discarded
    return _window_grows(evidence, lambda ours, theirs, whole: ours >= theirs + whole)


def _window_filled_up(evidence: Evidence) -> str | None:
    """The epoch's short last window is completed with batches of the next epoch."""
    return _window_grows(evidence, lambda ours, _, whole: ours == whole)


def _window_grows(evidence: Evidence, grows: Callable[[int, int, int], bool]) -> str | None:
    place = evidence.firsts.get("data_order")
    if place is None or place.stage != evidence.first_stage:
        return None
    for run, other in evidence.ordered_pairs:
        ours, theirs = run.window(place.step), other.window(place.step)
        per_epoch = other.record.header.steps_per_epoch
        ends = per_epoch and place.step % per_epoch == 0
        common = min(len(run.rows), len(other.rows))
        whole = other.record.run_spec.recipe.gradient_accumulation_steps
        if not ends or ours <= theirs:
            continue
        if not np.array_equal(run.rows[:common], other.rows[:common]):
            continue
        if grows(ours, theirs, whole):
            return (
                f"in {run.label} the last window of the epoch, step {place.step}, is not closed "
                f"after {_micro_batches(theirs)}: it adds {ours - theirs} of the next epoch"
            )
    return None


def window_dropped(evidence: Evidence) -> str | None:
    """No update uses the epoch's short last window.

    Either it has no backward pass, or its gradients are zeroed before an update.
    """
    place = evidence.firsts.get("data_order")
    if place is None or evidence.first_stage not in ("data_order", "learning_rate"):
        return None
    for run, other in evidence.ordered_pairs:
        short = other.window(place.step)
        per_epoch = other.record.header.steps_per_epoch
        steps = other.record.run_spec.recipe.gradient_accumulation_steps
        if not per_epoch or place.step % per_epoch or not short < steps:
            continue
        left = {row for _, _, rows in other.batches_at(place.step) for row in rows}
        same_before = np.array_equal(run.rows_before(place.step), other.rows_before(place.step))
        following = [rows for _, _, rows in run.batches_at(place.step)]
        if place.step in run.observed("gradients_zeroed_between_backwards"):
            passed_over, following = following[:short], following[short:]
            if {row for rows in passed_over for row in rows} != left:
                continue
        if same_before and len(following) == steps and set(following[0]) - left:
            return (
                f"{run.label} makes no update from the last window of the epoch, step "
                f"{place.step}, which has {_micro_batches(short)}"
            )
    return None


def _last_window(evidence: Evidence) -> str | None:
    regrouped = window_dropped(evidence) or _window_filled_up(evidence)
    if regrouped:
        return regrouped
    factor = evidence.first_factor
    recipe = evidence.reference.record.run_spec.recipe
    steps, window = recipe.gradient_accumulation_steps, evidence.reference.window(evidence.step)
    per_epoch = evidence.reference.record.header.steps_per_epoch
    if factor is None or not per_epoch or evidence.step % per_epoch or not 0 < window < steps:
        return None
    for expected, treatment in (
        (window / steps, f"divided by {steps}, not by {window}"),
        (window, "not divided"),
    ):
        run = evidence.run_with_scaled_loss(factor)
        if expected == 1 or not (close(factor, expected) or close(factor, 1 / expected)):
            continue
        if not evidence.loss_factors_known:
            owner = "one run"
        elif run is not None and close(run.loss_factor(evidence.step), expected):
            owner = run.label
        else:
            continue
        return (
            f"the last window of the epoch, step {evidence.step}, has {_micro_batches(window)} "
            f"instead of {steps}: the losses of {owner} are {treatment}, so gradients differ "
            f"by the factor {number(factor)} (candidate / reference)"
        )
    return None


def _leftover_gradients(evidence: Evidence) -> tuple[RunView, RunView] | None:
    """The run whose updates begin with leftover gradients, and the other run."""
    for run, other in evidence.ordered_pairs:
        if run.observed("gradients_left_over") and not other.observed("gradients_left_over"):
            return run, other
    return None


def _forgot_zero_grad(evidence: Evidence) -> str | None:
    found = _leftover_gradients(evidence)
    if found is None:
        return None
    run, other = found
    norm, (step, *_) = run.applied_norm(1), run.observed("gradients_left_over")
    left = run.values_observed("gradients_left_over")
    if step != 2 or norm is None or not left or not close(left[0], norm):
        return None  # not the gradients that the first update used
    return (
        f"{run.label} begins step 2 with the gradients of step 1; {other.label} begins each step "
        "without gradients"
    )


def _accumulation_leaks(evidence: Evidence) -> str | None:
    runs_on = _window_runs_on(evidence)
    if runs_on:
        return runs_on
    found = _leftover_gradients(evidence)
    per_epoch = evidence.reference.record.header.steps_per_epoch
    if found is None or not per_epoch:
        return None
    step = found[0].observed("gradients_left_over")[0]
    if step == 2 or (step - 1) % per_epoch:
        return None
    return f"{found[0].label} begins the epoch at step {step} with gradients of the previous epoch"


def _lacks_parameters(evidence: Evidence) -> bool:
    """Whether an optimizer lacks parameters, whose gradients it cannot zero."""
    return any(run.setting("optimizer.without") for run in evidence.runs)


def _ends_elsewhere(evidence: Evidence) -> bool:
    """Whether the first difference is in no last step of an epoch and in no step after one."""
    per_epoch = evidence.reference.record.header.steps_per_epoch
    return not per_epoch or (evidence.step % per_epoch > 1 and per_epoch > 1)


LACKS_PARAMETERS = CounterEvidence(
    "an optimizer lacks parameters, whose gradients it cannot zero",
    "the setting `optimizer.without`",
    _lacks_parameters,
)
SEVERAL_OPTIMIZERS = CounterEvidence(
    "several optimizers zero the gradients of their own parameters, each in its turn",
    "the optimizers that made a step",
    lambda evidence: any(len(run.record.header.optimizers) > 1 for run in evidence.runs),
)
DIFFERS_AT_ONCE = CounterEvidence(
    "the gradients of step 1 differ, before any can be left over",
    "the step of the first different gradients",
    lambda evidence: "gradients" in evidence.firsts and evidence.firsts["gradients"].step == 1,
)
RULES = (
    CauseRule(
        "last-window",
        "the short last window of an epoch is treated differently",
        ("loss", "gradients", "data_order", "learning_rate", "step_count"),
        _last_window,
        "make an update from it, with the losses divided by its own length",
        "transformers#38837",
        excluded_by=(RESUMED,),
    ),
    CauseRule(
        "accumulation-leaks",
        "the gradients of an epoch's last window leak into the next epoch",
        ("data_order", "gradients"),
        _accumulation_leaks,
        "make an update at the end of each epoch, also from a short window, and zero the gradients",
        "transformers#38837",
        excluded_by=(
            RESUMED,
            CounterEvidence(
                "the first difference is not at the end of an epoch",
                "the step, the updates of an epoch",
                _ends_elsewhere,
            ),
        ),
    ),
    CauseRule(
        "forgot-zero-grad",
        "gradients are not zeroed between updates",
        ("gradients",),
        _forgot_zero_grad,
        "call optimizer.zero_grad() after each update",
        needs_recipe=False,
        excluded_by=(LACKS_PARAMETERS, SEVERAL_OPTIMIZERS, DIFFERS_AT_ONCE),
    ),
)
