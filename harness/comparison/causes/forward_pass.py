"""Causes in the forward pass and its loss: mode, type, logging, values that are not finite."""

from __future__ import annotations

import math

import numpy as np

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.comparison.logged_losses import LOGGED
from harness.results.arrow import as_numpy, filled
from harness.results.levels import not_recorded

__all__ = ["RULES"]

_MODE = ("config", "loss", "rng")


def _forgot_train_mode(evidence: Evidence) -> str | None:
    for run, other in evidence.ordered_pairs:
        seen = run.observed("trained_in_evaluation_mode")
        if seen and not other.observed("trained_in_evaluation_mode"):
            return (
                f"in step {seen[0]} {run.label} trains with the model in evaluation mode, "
                f"{other.label} in training mode"
            )
    return None


def _modes_agree_there(evidence: Evidence) -> bool:
    """Whether both runs train in the same mode at the first step that differs."""
    if evidence.first_stage not in _MODE:
        return False
    modes = [run.circumstance(max(1, evidence.step), "training") for run in evidence.runs]
    return all(modes) and modes[0] == modes[1]


def _one_type(evidence: Evidence) -> bool:
    return "weights.dtype" in evidence.settings


def _other_updates(evidence: Evidence) -> bool:
    """Whether one run logs more or fewer losses than the other, or updates its weights twice."""
    place = evidence.firsts.get("loss")
    until = place.step if place is not None else 0
    counts = []
    for run in evidence.runs:
        steps = as_numpy(run.record.logged["step"])
        counts.append(np.bincount(steps[steps <= until], minlength=until + 1).tolist())
    return counts[0] != counts[1] or any(run.observed("updated_twice") for run in evidence.runs)


def _scaler_skips(evidence: Evidence) -> bool:
    return bool(evidence.reference.record.run_spec.recipe.precision == "fp16")


def _autocast(evidence: Evidence) -> str | None:
    if evidence.first_stage not in ("loss", "gradients"):
        return None
    for run, other in evidence.ordered_pairs:
        asked = other.record.run_spec.case.recipe.precision
        ours, theirs = (set(s.circumstance(evidence.step, "compute_dtype")) for s in (run, other))
        wanted = {"bf16": "bfloat16", "fp16": "float16"}.get(asked)
        if wanted and ours == {"float32"} and theirs == {wanted}:
            return f"{run.label} computes in float32, but the recipe asks for {asked}"
    return None


def _wrong_loss_logged(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("loss")
    if place is None or place.detail != LOGGED:
        return None
    return (
        f"at step {place.step} {evidence.candidate.label} logs a loss of {place.candidate:.6g} and "
        f"{evidence.reference.label} one of {place.reference:.6g}, computed from equal values"
    )


def _not_finite(run: RunView) -> list[int]:
    """Steps with a loss or gradient norm that is not finite."""
    table = run.record.micro_batches
    losses = as_numpy(filled(run.record.losses, math.nan))
    bad = set(as_numpy(table["step"])[~np.isfinite(losses)].tolist())
    if "grad_norm" not in not_recorded(run.record):
        bad |= set((np.flatnonzero(~np.isfinite(run.grad_norms)) + 1).tolist())
    return sorted(bad)


def _nan_hidden(evidence: Evidence) -> str | None:
    for run, other in evidence.ordered_pairs:
        bad = _not_finite(run)
        if not bad or bad[0] != evidence.step or _not_finite(other):
            continue
        if len(run.grad_norms) > bad[0]:
            return (
                f"the loss or the gradients of {run.label} are not finite at step {bad[0]}, and it "
                f"trained until step {len(run.grad_norms)}"
            )
    return None


RULES = (
    CauseRule(
        "forgot-train-mode",
        "the model is not in training mode",
        _MODE,
        _forgot_train_mode,
        "call model.train() before training, and again after each evaluation",
        excluded_by=(
            CounterEvidence(
                "both runs train in the same mode at the first step that differs",
                "the mode of each training pass: one that a backward pass reaches",
                _modes_agree_there,
            ),
        ),
    ),
    CauseRule(
        "autocast-without-effect",
        "autocast was requested and is not active",
        ("loss",),
        _autocast,
        "run the forward pass inside torch.autocast with the type of the device",
        excluded_by=(
            CounterEvidence(
                "the weights have other types", "the setting `weights.dtype`", _one_type
            ),
        ),
    ),
    CauseRule(
        "wrong-loss-logged",
        "the logged loss is not the loss that is trained on",
        ("loss",),
        _wrong_loss_logged,
        "log the mean of the losses of the window, divided once",
        "transformers#35204",
        excluded_by=(
            CounterEvidence(
                "the two log other numbers of losses, or one updates weights twice in a step",
                "the logged losses of each step, `updated_twice`",
                _other_updates,
            ),
        ),
    ),
    CauseRule(
        "nan-step-hidden",
        "training continues after a step that is not finite",
        ("loss", "gradients"),
        _nan_hidden,
        "stop at the first loss that is not finite; logging_nan_inf_filter=False shows it",
        excluded_by=(
            CounterEvidence(
                "a loss scaler skips such updates on purpose", "the recipe: fp16", _scaler_skips
            ),
        ),
    ),
)
