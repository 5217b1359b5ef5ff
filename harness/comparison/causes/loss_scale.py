"""Causes in the scale of the loss: by the window, the processes or the number of labels."""

from __future__ import annotations

from dataclasses import dataclass

from harness.comparison.causes.cause import CauseRule, CounterEvidence, OneOf
from harness.comparison.causes.counter_evidence import DIVIDED_MORE, GRADIENTS_SCALED_LATER
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView, close
from harness.units import number

__all__ = ["RULES"]


def _is(factor: float, expected: float) -> bool:
    """Whether `factor` is `expected` or its inverse."""
    return close(factor, expected) or close(factor, 1 / expected)


@dataclass(frozen=True)
class _Scaled:
    """A run whose loss is a whole number of times that of the other run."""

    run: RunView
    times: int
    window: int
    """Micro-batches of a whole window; 1 if the windows differ or are cut short."""
    processes: int


def _scaled(evidence: Evidence) -> _Scaled | None:
    factor = evidence.first_factor
    if factor is None:
        return None
    times = round(max(factor, 1 / factor))
    if times < 2 or not _is(factor, times):
        return None
    run = evidence.candidate if factor > 1 else evidence.reference
    window, size = (evidence.reference.window(evidence.step), evidence.reference.world_size)
    whole = evidence.reference.record.run_spec.recipe.gradient_accumulation_steps
    if window != evidence.candidate.window(evidence.step) or window < whole:
        window = 1  # the rule "last-window" covers an epoch's short window
    return _Scaled(run, times, window, size if size == evidence.candidate.world_size else 1)


def _other(evidence: Evidence, run: RunView) -> RunView:
    return evidence.reference if run is evidence.candidate else evidence.candidate


def _leaves_average_to_model(run: RunView) -> bool:
    return bool(run.setting("trainer.leaves_average_to_model"))


def _accumulation_not_averaged(evidence: Evidence) -> str | None:
    found = _scaled(evidence)
    if found is None or not _leaves_average_to_model(found.run) or found.window < 2:
        return None
    if not (found.times == found.window != found.processes) and (
        found.processes < 2 or found.times != found.window * found.processes
    ):
        return None
    return (
        f"gradients differ by the factor {number(evidence.gradient_factor or 0)} at step "
        f"{evidence.step}, a window of {found.window} micro-batches: the Trainer of "
        f"{found.run.label} leaves the average to the model, and the model does not compute it"
    )


def _loss_times_world_size(evidence: Evidence) -> str | None:
    found = _scaled(evidence)
    if found is None or not _leaves_average_to_model(found.run) or found.processes < 2:
        return None
    if not (found.times == found.processes != found.window) and (
        found.window < 2 or found.times != found.window * found.processes
    ):
        return None
    return (
        f"gradients differ by the factor {number(evidence.gradient_factor or 0)}: the Trainer of "
        f"{found.run.label} multiplies its loss by the number of processes, {found.processes}"
    )


def _loss_scaled(evidence: Evidence) -> OneOf | None:
    """The factor fits the window or the processes, and so it fits several mistakes."""
    found = _scaled(evidence)
    if found is None or _accumulation_not_averaged(evidence) or _loss_times_world_size(evidence):
        return None
    window, size, times = found.window, found.processes, found.times
    possible = []
    if window > 1 and times == window:
        possible.append(f"the losses of {window} micro-batches are summed, not averaged")
    if size > 1 and times == size:
        possible.append(f"the loss is multiplied by the number of processes, {size}")
    if window > 1 and size > 1 and times == window * size:
        possible.append(
            f"the losses of {window} micro-batches are summed and multiplied by the number of "
            f"processes, {size}"
        )
    if not possible:
        return None
    run, other = found.run.label, _other(evidence, found.run).label
    return OneOf(
        f"at step {evidence.step} the gradients of {run} are {times} times those of {other}",
        (*possible, f"the loss is added {times} times or multiplied by {times}"),
    )


def _unshifted_label_count(evidence: Evidence) -> str | None:
    factor = evidence.first_factor
    if factor is None:
        return None
    labels, targets = (
        sum(evidence.reference.circumstance(evidence.step, column))
        for column in ("labels", "targets")
    )
    if not targets or targets == labels or not _is(factor, targets / labels):
        return None
    if not close(max(factor, 1 / factor) - 1, labels / targets - 1, 0.02):
        return None
    run = evidence.candidate if factor < 1 else evidence.reference
    return (
        f"gradients differ by the factor {number(factor, 6)}: {run.label} divides its loss by "
        f"{labels} labels, but only {targets} of them are predicted"
    )


def _multiplied_more(evidence: Evidence) -> bool:
    factor = evidence.first_factor
    if factor is None or not evidence.loss_factors_known:
        return False
    larger = evidence.candidate if factor > 1 else evidence.reference
    return evidence.run_with_scaled_loss(factor) is larger


MULTIPLIED_MORE = CounterEvidence(
    "the run with the larger gradients multiplies its loss", "`loss_scaled`", _multiplied_more
)
RULES = (
    CauseRule(
        "accumulation-not-averaged",
        "the Trainer leaves the average over a window to the model, which does not compute it",
        ("loss", "gradients"),
        _accumulation_not_averaged,
        "set model.accepts_loss_kwargs = False before the Trainer is built",
        "transformers#47688",
        excluded_by=(GRADIENTS_SCALED_LATER, DIVIDED_MORE),
    ),
    CauseRule(
        "loss-times-world-size",
        "the Trainer multiplies the loss by the number of processes",
        ("loss", "gradients"),
        _loss_times_world_size,
        "pass average_tokens_across_devices=False, or set model.accepts_loss_kwargs = False",
        "transformers#39395",
        excluded_by=(GRADIENTS_SCALED_LATER, DIVIDED_MORE),
    ),
    CauseRule(
        "loss-scaled",
        "the loss of one run is a whole number of times that of the other",
        ("loss", "gradients"),
        _loss_scaled,
        "divide each loss by the number of micro-batches in its window, once, and do not multiply "
        "it by the number of processes",
        excluded_by=(GRADIENTS_SCALED_LATER, DIVIDED_MORE),
    ),
    CauseRule(
        "unshifted-label-count",
        "the loss is divided by a number of labels that includes labels never predicted",
        ("loss", "gradients"),
        _unshifted_label_count,
        "count the labels after the shift",
        "transformers#46204",
        excluded_by=(GRADIENTS_SCALED_LATER, MULTIPLIED_MORE),
    ),
)
