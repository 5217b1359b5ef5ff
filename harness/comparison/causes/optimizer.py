"""Causes in what an optimizer updates, and how: decay, implementation, parameters."""

from __future__ import annotations

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.counter_evidence import (
    ANOTHER_RULE,
    MORE_THAN_ROUNDING,
    OTHER_OPTIONS,
)
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.units import number

__all__ = ["RULES"]

_TORCH_DECAY = 0.01  # the default weight_decay of torch.optim.AdamW
_UPDATE = ("weights", "optimizer_state")


def _decays_all_by_default(run: RunView) -> bool:
    """Whether torch's default decay applies to every parameter."""
    return bool(run.setting("optimizer.weight_decay") == _TORCH_DECAY)


def _asked_for(evidence: Evidence) -> bool:
    """Whether the recipe asks for torch's default decay of every parameter."""
    asked = [run.record.run_spec.case.recipe for run in evidence.runs]
    return any(r.weight_decay == _TORCH_DECAY and r.decay_exclusions == "none" for r in asked)


def _weight_decay_default(evidence: Evidence) -> str | None:
    if "optimizer.weight_decay" not in evidence.settings:
        return None
    for run, other in evidence.ordered_pairs:
        groups = _decayed(other)
        if _decays_all_by_default(run) and groups != {_TORCH_DECAY}:
            shown = ", ".join(number(decay) for decay in sorted(groups)) or "0"
            return (
                f"{run.label} decays every parameter by {_TORCH_DECAY}, the default of torch's "
                f"AdamW; {other.label} uses a weight decay of {shown}"
            )
    return None


def _decayed(run: RunView) -> set[float]:
    """The weight decays of all parameter groups, zero included."""
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
        # A single value is the decay of each parameter.
        every = [name for names in theirs.values() for name in names]
        groups = ours if isinstance(ours, dict) else {str(ours): every}
        decayed = {name: decay for decay, names in groups.items() for name in names}
        more = [name for name in spared if decayed.get(name, "0.0") != "0.0"]
        rest = {name: decay for decay, names in theirs.items() for name in names}
        rest |= {name: decayed[name] for name in more}
        decays = {decayed[name] for name in more}
        if more and decayed == rest and decays <= theirs.keys() and all(map(_is_vector, more)):
            if len(more) == 1:
                what, pronoun = more[0], "it"
            else:
                what, pronoun = f"{len(more)} biases and norms (first {more[0]})", "them"
            decay = min(decays)
            return f"{run.label} decays {what} by {decay}; {other.label} does not decay {pronoun}"
    return None


def _is_vector(name: str) -> bool:
    """Whether a parameter is a bias or belongs to a norm, by the usual names of libraries."""
    return name.endswith("bias") or "norm" in name.lower() or ".ln_" in name


def _optimizer_flavour(evidence: Evidence) -> str | None:
    setting = evidence.settings.get("optimizer.flavour")
    if setting is None:
        return None
    return (
        f"{evidence.candidate.label} uses torch's {setting.candidate} implementation of the "
        f"update and {evidence.reference.label} the {setting.reference} one; they round differently"
    )


def _frozen(evidence: Evidence) -> str | None:
    for run, other in evidence.ordered_pairs:
        for name, how in (
            ("weights.frozen", "computes no gradient for"),
            ("optimizer.without", "does not pass to its optimizer"),
        ):
            ours, theirs = run.setting(name) or [], other.setting(name) or []
            # A second optimizer may move what the first one lacks.
            more = [n for n in ours if n not in theirs and run.moves(n) is not True]
            more = [n for n in more if other.moves(n) is not False and other.may_have(n)]
            if more:
                if len(more) == 1:
                    return f"{run.label} {how} {more[0]}; {other.label} trains it"
                return (
                    f"{run.label} {how} {len(more)} parameters, first {more[0]}; {other.label} "
                    "trains them"
                )
    return None


def _old_parameters(evidence: Evidence) -> str | None:
    for run, _ in evidence.ordered_pairs:
        foreign, without = run.setting("optimizer.foreign"), run.setting("optimizer.without")
        if foreign and without:
            return (
                f"the optimizer of {run.label} holds tensors that are not parameters of its model "
                f"({foreign}) and lacks parameters of its model ({len(without)}, first "
                f"{without[0]})"
            )
    return None


def _holds_others(evidence: Evidence) -> bool:
    return any(run.setting("optimizer.foreign") for run in evidence.runs)


def _both_hold_others(evidence: Evidence) -> bool:
    return all(run.setting("optimizer.foreign") for run in evidence.runs)


def _not_adamw(evidence: Evidence) -> bool:
    return any(run.setting("optimizer.rule") not in ("AdamW", None) for run in evidence.runs)


RULES = (
    CauseRule(
        "weight-decay-default",
        "torch's AdamW decays all weights by its default, 0.01",
        _UPDATE,
        _weight_decay_default,
        "pass weight_decay explicitly, with a group without decay for biases and norms",
        excluded_by=(
            CounterEvidence("the recipe asks for this decay", "the recipe", _asked_for),
            CounterEvidence(
                "an optimizer is not AdamW", "the setting `optimizer.rule`", _not_adamw
            ),
        ),
    ),
    CauseRule(
        "bias-and-norm-decayed",
        "biases and norms are decayed",
        _UPDATE,
        _bias_and_norm_decayed,
        "put biases and norms into a separate parameter group with weight_decay=0",
        needs_recipe=False,
        excluded_by=(ANOTHER_RULE,),
    ),
    CauseRule(
        "optimizer-flavour",
        "another implementation of the same update rule",
        _UPDATE,
        _optimizer_flavour,
        "pass the same values of fused and foreach to both optimizers",
        needs_recipe=False,
        excluded_by=(ANOTHER_RULE, OTHER_OPTIONS, MORE_THAN_ROUNDING),
    ),
    CauseRule(
        "optimizer-holds-old-parameters",
        "the optimizer holds parameters of another model",
        (*_UPDATE, "learning_rate"),
        _old_parameters,
        "create the optimizer after the model is complete, from the parameters of that model",
        excluded_by=(
            CounterEvidence(
                "the optimizers of both runs hold other tensors",
                "the setting `optimizer.foreign`",
                _both_hold_others,
            ),
        ),
    ),
    CauseRule(
        "parameter-frozen",
        "a parameter is not trained",
        ("gradients", "grad_norm", *_UPDATE),
        _frozen,
        "set requires_grad and pass every trained parameter to the optimizer",
        needs_recipe=False,
        excluded_by=(
            CounterEvidence(
                "an optimizer holds tensors of another model",
                "the setting `optimizer.foreign`",
                _holds_others,
            ),
        ),
    ),
)
