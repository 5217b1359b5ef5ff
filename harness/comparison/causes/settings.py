"""Causes that the settings show before the first step."""

from __future__ import annotations

from typing import Any

from harness.comparison.causes.cause import Row
from harness.comparison.causes.evidence import Facts
from harness.comparison.causes.run_view import Side
from harness.units import number

__all__ = ["ROWS"]

_TORCH_DECAY = 0.01  # what torch.optim.AdamW decays by where nobody says otherwise


def _decays_all_by_default(side: Side) -> bool:
    """By torch's own decay, which nobody asked it for."""
    asked = side.record.spec.case.recipe
    if asked.weight_decay == _TORCH_DECAY and asked.decay_exclusions == "none":
        return False
    return bool(side.setting("optimizer.weight_decay") == _TORCH_DECAY)


def _weight_decay_default(facts: Facts) -> str | None:
    if "optimizer.weight_decay" not in facts.settings:
        return None
    for side, other in facts.pairs:
        groups = _decayed(other)
        if _decays_all_by_default(side) and groups != {_TORCH_DECAY}:
            shown = ", ".join(number(decay) for decay in sorted(groups)) or "nothing"
            return (
                f"{side.label} decays every parameter by {_TORCH_DECAY}, which is what torch's "
                f"AdamW does unasked; {other.label} by {shown}"
            )
    return None


def _decayed(side: Side) -> set[float]:
    """All decays that occur, zero included."""
    decay = side.setting("optimizer.weight_decay")
    if isinstance(decay, dict):
        return {float(value) for value in decay}
    return set() if decay is None else {float(decay)}


def _bias_and_norm_decayed(facts: Facts) -> str | None:
    if "optimizer.weight_decay" not in facts.settings:
        return None
    for side, other in facts.pairs:
        ours, theirs = (
            side.setting("optimizer.weight_decay"),
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
                f"{side.label} also decays {len(more)} biases and norms by {min(decays)}, which "
                f"{other.label} spares, first {more[0]}"
            )
    return None


def _is_vector(name: str) -> bool:
    """Whether a parameter is a bias, or of a norm, as libraries call them."""
    return name.endswith("bias") or "norm" in name.lower() or ".ln_" in name


def _optimizer_flavour(facts: Facts) -> str | None:
    setting = facts.settings.get("optimizer.flavour")
    if setting is None:
        return None
    return (
        f"{facts.candidate.label} takes torch's {setting.candidate} implementation of the update, "
        f"{facts.reference.label} {setting.reference}, and they round differently"
    )


def _attention_kernel(facts: Facts) -> str | None:
    setting = facts.settings.get("model.attention")
    if setting is None:
        return None
    return (
        f"attention is {setting.candidate} in {facts.candidate.label} and {setting.reference} in "
        f"{facts.reference.label}"
    )


def _thread_count(facts: Facts) -> str | None:
    setting = facts.settings.get("flags.threads")
    if setting is None:
        return None
    return (
        f"{facts.candidate.label} splits its sums among {setting.candidate} threads, "
        f"{facts.reference.label} among {setting.reference}"
    )


def _only(dtypes: Any) -> str | None:
    return next(iter(dtypes)) if isinstance(dtypes, dict) and len(dtypes) == 1 else None


def _dtype_auto(facts: Facts) -> str | None:
    return _low_precision(facts, declared=True)


def _bf16_weights(facts: Facts) -> str | None:
    return _low_precision(facts, declared=False)


def _low_precision(facts: Facts, *, declared: bool) -> str | None:
    """Weights in half precision on one side: so declared by their checkpoint, or cast by hand."""
    if "weights.dtype" not in facts.settings:
        return None
    for side, other in facts.pairs:
        dtype = _only(side.setting("weights.dtype"))
        if (
            dtype not in ("bfloat16", "float16")
            or _only(other.setting("weights.dtype")) != "float32"
        ):
            continue
        if (side.setting("weights.declared_dtype") == dtype) != declared:
            continue
        came = "as its checkpoint holds them" if declared else "cast after they were loaded"
        return (
            f"{side.label} trains weights of type {dtype}, {came}; {other.label} trains float32, "
            "so small updates are lost on one side"
        )
    return None


def _environment_wins(facts: Facts) -> str | None:
    for side, _ in facts.pairs:
        for name, value in side.record.header.settings.items():
            if name.startswith("environment."):
                variable = name.removeprefix("environment.")
                return f"{variable}={value} is set for {side.label} and overrules its code"
    return None


def _frozen(facts: Facts) -> str | None:
    for side, other in facts.pairs:
        for name, how in (
            ("weights.frozen", "asks no gradient for"),
            ("optimizer.without", "gives its optimizer no share of"),
        ):
            ours, theirs = side.setting(name) or [], other.setting(name) or []
            more = [parameter for parameter in ours if parameter not in theirs]
            if more and not side.setting("optimizer.foreign"):
                others = f" and {len(more) - 1} more" if len(more) > 1 else ""
                return f"{side.label} {how} {more[0]}{others}, which {other.label} trains"
    return None


def _old_parameters(facts: Facts) -> str | None:
    for side, _ in facts.pairs:
        foreign, without = side.setting("optimizer.foreign"), side.setting("optimizer.without")
        if foreign and without:
            return (
                f"the optimizer of {side.label} holds {foreign} tensors that are no parameters of "
                f"its model, and lacks {len(without)} that are, first {without[0]}"
            )
    return None


_UPDATE = ("weights", "optimizer_state")
ROWS = (
    Row(
        "environment-wins",
        "a variable of the environment overrules the code",
        ("config", "data_order", "step_count", "loss", "gradients", "learning_rate"),
        _environment_wins,
        "unset the variable, or pass the same value in the code",
    ),
    Row(
        "dtype-auto",
        "the weights have the checkpoint's own type",
        ("config", "initial_weights"),
        _dtype_auto,
        "load the model with dtype=torch.float32, and use autocast for speed",
    ),
    Row(
        "bf16-weights-lose-updates",
        "weights in half precision lose small updates",
        ("config", "initial_weights", "weights", "loss"),
        _bf16_weights,
        "keep the weights in float32 and run the forward pass under autocast",
    ),
    Row(
        "weight-decay-default",
        "torch's AdamW decays all weights by 0.01 unless told otherwise",
        _UPDATE,
        _weight_decay_default,
        "pass weight_decay explicitly, with groups that spare biases and norms",
    ),
    Row(
        "bias-and-norm-decayed",
        "biases and norms are decayed too",
        _UPDATE,
        _bias_and_norm_decayed,
        "put biases and norms into a group of their own with weight_decay=0",
    ),
    Row(
        "optimizer-flavour",
        "another implementation of the same update rule",
        _UPDATE,
        _optimizer_flavour,
        "pass the same of fused=True and foreach=True to both optimizers",
    ),
    Row(
        "optimizer-holds-old-parameters",
        "the optimizer was made for another model's parameters",
        (*_UPDATE, "learning_rate"),
        _old_parameters,
        "make the optimizer after the model is final, on its own parameters",
    ),
    Row(
        "parameter-frozen",
        "a parameter is not trained",
        ("gradients", "grad_norm", *_UPDATE),
        _frozen,
        "set requires_grad, and pass every trained parameter to the optimizer",
    ),
    Row(
        "attention-kernel",
        "another attention kernel",
        ("loss", "gradients"),
        _attention_kernel,
        "load both models with the same attn_implementation",
    ),
    Row(
        "thread-count",
        "another number of threads",
        ("loss", "gradients", *_UPDATE),
        _thread_count,
        "call torch.set_num_threads with the same number",
    ),
)
