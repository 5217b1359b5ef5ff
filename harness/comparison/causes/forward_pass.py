"""Causes in the forward pass and its loss: mode, type, logging, values that are not finite."""

from __future__ import annotations

import math

import numpy as np

from harness.comparison.batches import LOGGED
from harness.comparison.causes.cause import CauseRule
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.results.arrow import as_numpy, filled
from harness.results.levels import not_recorded

__all__ = ["RULES"]


def _forgot_train_mode(evidence: Evidence) -> str | None:
    for run, other in evidence.ordered_pairs:
        seen = run.observed("trained_in_evaluation_mode")
        if seen and not other.observed("trained_in_evaluation_mode"):
            return f"{run.label} runs step {seen[0]} in evaluation mode, without dropout"
    return None


def _autocast(evidence: Evidence) -> str | None:
    if evidence.first_stage not in ("loss", "gradients") or "weights.dtype" in evidence.settings:
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
    if evidence.reference.record.run_spec.recipe.precision == "fp16":
        return None  # a loss scaler skips such updates on purpose
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
        ("config", "loss", "rng"),
        _forgot_train_mode,
        "call model.train() before training, and again after each evaluation",
    ),
    CauseRule(
        "autocast-without-effect",
        "autocast was requested and is not active",
        ("loss",),
        _autocast,
        "run the forward pass inside torch.autocast with the type of the device",
    ),
    CauseRule(
        "wrong-loss-logged",
        "the logged loss is not the loss that is trained on",
        ("loss",),
        _wrong_loss_logged,
        "log the mean of the losses of the window, divided once",
        "transformers#35204",
    ),
    CauseRule(
        "nan-step-hidden",
        "training continues after a step that is not finite",
        ("loss", "gradients"),
        _nan_hidden,
        "stop at the first loss that is not finite; logging_nan_inf_filter=False shows it",
    ),
)
