"""Causes that the settings show before the first step."""

from __future__ import annotations

from typing import Any

from harness.comparison.causes.cause import CauseRule
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.units import number

__all__ = ["RULES"]

_TORCH_DECAY = 0.01  # what torch.optim.AdamW decays by where nobody says otherwise


def _decays_all_by_default(run: RunView) -> bool:
    """By torch's own decay, which nobody asked it for."""
    asked = run.record.spec.case.recipe
    if asked.weight_decay == _TORCH_DECAY and asked.decay_exclusions == "none":
        return False
    return bool(run.setting("optimizer.weight_decay") == _TORCH_DECAY)


def _weight_decay_default(evidence: Evidence) -> str | None:
    if "optimizer.weight_decay" not in evidence.settings:
        return None
    for run, other in evidence.ordered_pairs:
        groups = _decayed(other)
        if _decays_all_by_default(run) and groups != {_TORCH_DECAY}:
            shown = ", ".join(number(decay) for decay in sorted(groups)) or "nothing"
            return (
                f"{run.label} decays every parameter by {_TORCH_DECAY}, which is what torch's "
                f"AdamW does unasked; {other.label} by {shown}"
            )
    return None


def _decayed(run: RunView) -> set[float]:
    """All decays that occur, zero included."""
    decay = run.setting("optimizer.weight_decay")
    if isinstance(decay, dict):
        return {float(value) for value in decay}
    return set() if decay is None else {float(decay)}


def _bias_and_norm_decayed(evidence: Evidence) -> str | None:
    if "optimizer.weight_decay" not in evidence.settings:
        return None
    for run, other in evidence.ordered_pairs:
        ours, theirs = (
            run.setting("optimizer.weight_decay"),
            other.setting("optimizer.weight_decay"),
        )
        if not isinstance(theirs, dict):
            continue
        spared = theirs.get("0.0", [])
        # Where one value stands for all, it is that of each parameter.
        every = [name for names in theirs.values() for name in names]
        groups = ours if isinstance(ours, dict) else {str(ours): every}
        decayed = {name: decay for decay, names in groups.items() for name in names}
        more = [name for name in spared if decayed.get(name, "0.0") != "0.0"]
        rest = {name: decay for decay, names in theirs.items() for name in names}
        rest |= {name: decayed[name] for name in more}
        decays = {decayed[name] for name in more}
        if more and decayed == rest and decays <= theirs.keys() and all(map(_is_vector, more)):
            return (
                f"{run.label} also decays {len(more)} biases and norms by {min(decays)}, which "
                f"{other.label} spares, first {more[0]}"
            )
    return None


def _is_vector(name: str) -> bool:
    """Whether a parameter is a bias, or of a norm, as libraries call them."""
    return name.endswith("bias") or "norm" in name.lower() or ".ln_" in name


def _optimizer_flavour(evidence: Evidence) -> str | None:
    setting = evidence.settings.get("optimizer.flavour")
    if setting is None:
        return None
    return (
        f"{evidence.candidate.label} uses torch's {setting.candidate} implementation of the "
        f"update and {evidence.reference.label} the {setting.reference} one; they round differently"
    )


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
        f"{evidence.candidate.label} splits its sums among {setting.candidate} threads, "
        f"{evidence.reference.label} among {setting.reference}"
    )


def _only(dtypes: Any) -> str | None:
    return next(iter(dtypes)) if isinstance(dtypes, dict) and len(dtypes) == 1 else None


def _dtype_auto(evidence: Evidence) -> str | None:
    return _low_precision(evidence, declared=True)


def _bf16_weights(evidence: Evidence) -> str | None:
    return _low_precision(evidence, declared=False)


def _low_precision(evidence: Evidence, *, declared: bool) -> str | None:
    """Weights in half precision on one side: so declared by their checkpoint, or cast by hand."""
    if "weights.dtype" not in evidence.settings:
        return None
    for run, other in evidence.ordered_pairs:
        dtype = _only(run.setting("weights.dtype"))
        if (
            dtype not in ("bfloat16", "float16")
            or _only(other.setting("weights.dtype")) != "float32"
        ):
            continue
        if (run.setting("weights.declared_dtype") == dtype) != declared:
            continue
        came = "as its checkpoint holds them" if declared else "cast after they were loaded"
        return (
            f"{run.label} trains weights of type {dtype}, {came}; {other.label} trains float32, "
            "so small updates are lost on one side"
        )
    return None


def _environment_wins(evidence: Evidence) -> str | None:
    for run, _ in evidence.ordered_pairs:
        for name, value in run.record.header.settings.items():
            if name.startswith("environment."):
                variable = name.removeprefix("environment.")
                return f"{variable}={value} is set for {run.label} and overrules its code"
    return None


def _frozen(evidence: Evidence) -> str | None:
    for run, other in evidence.ordered_pairs:
        for name, how in (
            ("weights.frozen", "asks no gradient for"),
            ("optimizer.without", "gives its optimizer no share of"),
        ):
            ours, theirs = run.setting(name) or [], other.setting(name) or []
            more = [parameter for parameter in ours if parameter not in theirs]
            if more and not run.setting("optimizer.foreign"):
                others = f" and {len(more) - 1} more" if len(more) > 1 else ""
                return f"{run.label} {how} {more[0]}{others}, which {other.label} trains"
    return None


def _old_parameters(evidence: Evidence) -> str | None:
    for run, _ in evidence.ordered_pairs:
        foreign, without = run.setting("optimizer.foreign"), run.setting("optimizer.without")
        if foreign and without:
            return (
                f"the optimizer of {run.label} holds {foreign} tensors that are no parameters of "
                f"its model, and lacks {len(without)} that are, first {without[0]}"
            )
    return None


_UPDATE = ("weights", "optimizer_state")
RULES = (
    CauseRule(
        "environment-wins",
        "a variable of the environment overrules the code",
        ("config", "data_order", "step_count", "loss", "gradients", "learning_rate"),
        _environment_wins,
        "unset the variable, or pass the same value in the code",
    ),
    CauseRule(
        "dtype-auto",
        "the weights have the checkpoint's own type",
        ("config", "initial_weights"),
        _dtype_auto,
        "load the model with dtype=torch.float32, and use autocast for speed",
    ),
    CauseRule(
        "bf16-weights-lose-updates",
        "weights in half precision lose small updates",
        ("config", "initial_weights", "weights", "loss"),
        _bf16_weights,
        "keep the weights in float32 and run the forward pass under autocast",
    ),
    CauseRule(
        "weight-decay-default",
        "torch's AdamW decays all weights by 0.01 unless told otherwise",
        _UPDATE,
        _weight_decay_default,
        "pass weight_decay explicitly, with groups that spare biases and norms",
    ),
    CauseRule(
        "bias-and-norm-decayed",
        "biases and norms are decayed too",
        _UPDATE,
        _bias_and_norm_decayed,
        "put biases and norms into a group of their own with weight_decay=0",
    ),
    CauseRule(
        "optimizer-flavour",
        "another implementation of the same update rule",
        _UPDATE,
        _optimizer_flavour,
        "pass the same of fused=True and foreach=True to both optimizers",
    ),
    CauseRule(
        "optimizer-holds-old-parameters",
        "the optimizer was made for another model's parameters",
        (*_UPDATE, "learning_rate"),
        _old_parameters,
        "make the optimizer after the model is final, on its own parameters",
    ),
    CauseRule(
        "parameter-frozen",
        "a parameter is not trained",
        ("gradients", "grad_norm", *_UPDATE),
        _frozen,
        "set requires_grad, and pass every trained parameter to the optimizer",
    ),
    CauseRule(
        "attention-kernel",
        "another attention kernel",
        ("loss", "gradients"),
        _attention_kernel,
        "load both models with the same attn_implementation",
    ),
    CauseRule(
        "thread-count",
        "another number of threads",
        ("loss", "gradients", *_UPDATE),
        _thread_count,
        "call torch.set_num_threads with the same number",
    ),
)
