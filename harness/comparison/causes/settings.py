"""Causes that the settings before the first step show: types, kernels, threads, variables."""

from __future__ import annotations

from typing import Any

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.counter_evidence import (
    MORE_THAN_ROUNDING,
    MORE_THAN_TF32,
)
from harness.comparison.causes.evidence import Evidence

__all__ = ["RULES"]


def _attention_kernel(evidence: Evidence) -> str | None:
    setting = evidence.settings.get("model.attention")
    if setting is None:
        return None
    return (
        f"{evidence.candidate.label} uses the attention kernel {setting.candidate}, "
        f"{evidence.reference.label} uses {setting.reference}"
    )


def _thread_count(evidence: Evidence) -> str | None:
    setting = evidence.settings.get("flags.threads")
    if setting is None:
        return None
    return (
        f"{evidence.candidate.label} computes with {_threads(setting.candidate)}, "
        f"{evidence.reference.label} with {_threads(setting.reference)}; they add in another order"
    )


def _tf32_of_compiled(evidence: Evidence) -> str | None:
    """TF32 in a compiled run and not in the other: Accelerate turns it on where it compiles."""
    setting = evidence.settings.get("flags.tf32")
    if setting is None:
        return None
    run = evidence.candidate if setting.candidate else evidence.reference
    other = evidence.reference if setting.candidate else evidence.candidate
    if run.record.run_spec.recipe.compile is None:
        return None
    return (
        f"torch.backends.cuda.matmul.allow_tf32 is True in {run.label}, which compiles its model, "
        f"and False in {other.label}"
    )


def _threads(count: Any) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def _only(dtypes: Any) -> str | None:
    return next(iter(dtypes)) if isinstance(dtypes, dict) and len(dtypes) == 1 else None


def _low_precision(evidence: Evidence) -> str | None:
    """Weights of one run in half precision: declared by the checkpoint, or cast after loading."""
    if "weights.dtype" not in evidence.settings:
        return None
    for run, other in evidence.ordered_pairs:
        dtype = _only(run.setting("weights.dtype"))
        if (
            dtype not in ("bfloat16", "float16")
            or _only(other.setting("weights.dtype")) != "float32"
        ):
            continue
        origin = "the type of its checkpoint" if _declared(evidence) else "cast after loading"
        return (
            f"{run.label} trains weights of type {dtype} ({origin}) and loses small updates; "
            f"{other.label} trains float32"
        )
    return None


def _declared(evidence: Evidence) -> bool:
    """Whether a checkpoint declares the half precision that weights have."""
    return any(
        _only(run.setting("weights.dtype")) in ("bfloat16", "float16")
        and run.setting("weights.declared_dtype") == _only(run.setting("weights.dtype"))
        for run in evidence.runs
    )


def _cast(evidence: Evidence) -> bool:
    return not _declared(evidence)


def _environment_wins(evidence: Evidence) -> str | None:
    for run, _ in evidence.ordered_pairs:
        for name, value in run.record.header.settings.items():
            if name.startswith("environment."):
                variable = name.removeprefix("environment.")
                return f"{variable}={value} is set for {run.label} and overrides its code"
    return None


def _set_in_both(evidence: Evidence) -> bool:
    """Whether a variable overrides the code of both runs alike."""
    one, two = (
        {n: v for n, v in run.record.header.settings.items() if n.startswith("environment.")}
        for run in evidence.runs
    )
    return bool(one) and one == two


_UPDATE = ("weights", "optimizer_state")
RULES = (
    CauseRule(
        "environment-wins",
        "an environment variable overrides the code",
        ("config", "data_order", "step_count", "loss", "gradients", "learning_rate"),
        _environment_wins,
        "unset the variable, or pass the same value in the code",
        excluded_by=(
            CounterEvidence(
                "the variables are the same in both runs",
                "the settings `environment.*`",
                _set_in_both,
            ),
        ),
    ),
    CauseRule(
        "dtype-auto",
        "the weights have the type of the checkpoint",
        ("config", "initial_weights"),
        _low_precision,
        "load the model with dtype=torch.float32 and use autocast for speed",
        excluded_by=(
            CounterEvidence(
                "the weights were cast after loading",
                "the settings `weights.dtype` and `weights.declared_dtype`",
                _cast,
            ),
        ),
    ),
    CauseRule(
        "bf16-weights-lose-updates",
        "weights in half precision lose small updates",
        ("config", "initial_weights", "weights", "loss"),
        _low_precision,
        "keep the weights in float32 and run the forward pass under autocast",
        excluded_by=(
            CounterEvidence(
                "the checkpoint has this type",
                "the settings `weights.dtype` and `weights.declared_dtype`",
                _declared,
            ),
        ),
    ),
    CauseRule(
        "attention-kernel",
        "another attention kernel",
        ("loss", "gradients"),
        _attention_kernel,
        "load both models with the same attn_implementation",
        needs_recipe=False,
        excluded_by=(MORE_THAN_ROUNDING,),
    ),
    CauseRule(
        "compile-turns-on-tf32",
        "matrix products of a compiled model in TF32",
        ("loss", "gradients", *_UPDATE),
        _tf32_of_compiled,
        "set torch.backends.cuda.matmul.allow_tf32 = False after the Accelerator or the Trainer is "
        "built; matched conventions do",
        excluded_by=(MORE_THAN_TF32,),
    ),
    CauseRule(
        "thread-count",
        "another number of threads",
        ("loss", "gradients", *_UPDATE),
        _thread_count,
        "call torch.set_num_threads with the same number in both runs",
        needs_recipe=False,
        excluded_by=(MORE_THAN_ROUNDING,),
    ),
)
