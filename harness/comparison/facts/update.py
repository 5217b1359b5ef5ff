"""Statements about the update: its rule and options, clipping, decay, and what it leaves alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.comparison.causes.run_view import RunView
from harness.comparison.factors import UNIFORM, one_factor
from harness.comparison.facts.ground import Ground
from harness.comparison.facts.statement import Statement, against, plain
from harness.units import number

__all__ = [
    "clipping",
    "decay_coupling",
    "implementation",
    "not_trained",
    "options",
    "resumed_state",
    "rule",
    "weight_decay",
]

_UPDATE = ("weights", "optimizer_state")
_OPTIMIZER = ("optimizer", "optimizer")
_WORDS = {"optimizer.eps": "eps of the optimizer"}
_STATED_ELSEWHERE = (
    *("optimizer.rule", "optimizer.flavour", "optimizer.learning_rate", "optimizer.weight_decay"),
    *("optimizer.without", "optimizer.foreign", "optimizer.decoupled_weight_decay"),
    "optimizer.rate_set_later",
)
_ADAM = {"Adam", "AdamW"}  # they differ in the coupling of the weight decay alone


def _can_be_the_start(ground: Ground) -> bool:
    """Whether the first divergence is an update that another rule or option changes at once.

    The first update moves no weight if its rate is 0, and some options act from the second on.
    """
    return ground.stage in _UPDATE and ground.step <= ground.first_effective_step + 1


def rule(ground: Ground) -> Iterator[Statement]:
    """The update rule, by the class of the optimizer."""
    if not ground.differs("optimizer.rule"):
        return
    one, two = ground.values("optimizer.rule")
    explains = _can_be_the_start(ground) and {str(one), str(two)} != _ADAM
    text = f"update rule {against(two, one)}"
    yield Statement("update_rule", text, one, two, explains, sites=_OPTIMIZER)


def decay_coupling(ground: Ground) -> Iterator[Statement]:
    """Whether the weight decay is added to the gradient, or taken from the weight."""
    ways = [_coupling(run) for run in ground.runs]
    if None in ways or ways[0] == ways[1]:
        return
    words = {
        "coupled": "coupled (added to the gradient)",
        "decoupled": "decoupled (taken from the weight)",
    }
    yield Statement(
        "decay_coupling",
        f"weight decay {words[str(ways[1])]} against {words[str(ways[0])]}",
        ways[0],
        ways[1],
        _can_be_the_start(ground),
        sites=_OPTIMIZER,
    )


def _coupling(run: RunView) -> str | None:
    """How a run decays its weights; None if it decays none, or if it is not known."""
    decay, of = run.setting("optimizer.weight_decay"), run.setting("optimizer.rule")
    if decay is None or of is None or not any(_decays(decay)):
        return None
    decoupled = run.setting("optimizer.decoupled_weight_decay")
    return "decoupled" if decoupled is True or of == "AdamW" else "coupled"


def _decays(setting: Any) -> Iterator[float]:
    values = setting if isinstance(setting, dict) else (setting,)
    for value in values:
        try:
            yield float(value)
        except (TypeError, ValueError):
            continue


def weight_decay(ground: Ground) -> Iterator[Statement]:
    """The weight decay, by parameter where groups have their own."""
    if not ground.differs("optimizer.weight_decay"):
        return
    one, two = ground.values("optimizer.weight_decay")
    names = [*ground.runs[0].initial_digests]
    of_one, of_two = _by_parameter(one, names), _by_parameter(two, names)
    if of_one == of_two:
        return
    first = ground.evidence.first
    tensor = None if first is None else first.tensor
    explains = ground.stage in _UPDATE and (
        tensor is None or of_one.get(tensor) != of_two.get(tensor)
    )
    text = f"weight decay {_groups(two)} against {_groups(one)}"
    if not isinstance(one, dict) and not isinstance(two, dict):
        text = f"weight decay {against(two, one)}"
    yield Statement("weight_decay", text, one, two, explains, sites=_OPTIMIZER)


def _by_parameter(setting: Any, names: list[str]) -> dict[str, str]:
    if isinstance(setting, dict):
        lists = ((value, each) for value, each in setting.items() if isinstance(each, list))
        return {name: value for value, each in lists for name in each}
    return dict.fromkeys(names, str(setting))


def _groups(setting: Any) -> str:
    """'0.01 for 20 tensors and 0 for 14', or '0.01 for all'."""
    if not isinstance(setting, dict):
        return f"{plain(setting)} for all"
    counts = [(value, len(names)) for value, names in setting.items() if isinstance(names, list)]
    parts = [
        f"{_short(value)} for {count}" + (_tensors(count) if not place else "")
        for place, (value, count) in enumerate(counts)
    ]
    return " and ".join(parts)


def _short(value: Any) -> str:
    try:
        return number(float(value))
    except (TypeError, ValueError):
        return str(value)


def _tensors(count: int) -> str:
    return " tensor" if count == 1 else " tensors"


def options(ground: Ground) -> Iterator[Statement]:
    """Every other option of the optimizer: betas, eps, momentum and the like."""
    for name in ground.evidence.settings:
        if name.startswith("optimizer.") and name not in _STATED_ELSEWHERE:
            one, two = ground.values(name)
            words = _WORDS.get(name, name.removeprefix("optimizer."))
            yield Statement(
                name.removeprefix("optimizer."),
                f"{words} {against(two, one)}",
                one,
                two,
                _can_be_the_start(ground),
                sites=_OPTIMIZER,
            )


def implementation(ground: Ground) -> Iterator[Statement]:
    """Torch's implementation of the update: fused, foreach or a for-loop."""
    if ground.differs("optimizer.flavour"):
        one, two = ground.values("optimizer.flavour")
        text = f"implementation of the update {_flavour(two)} against {_flavour(one)}"
        explains = ground.stage in _UPDATE
        yield Statement("implementation", text, one, two, explains, rounds=True, sites=_OPTIMIZER)


def _flavour(setting: Any) -> str:
    return " and ".join(map(str, setting)) if isinstance(setting, dict) else str(setting)


@dataclass(frozen=True)
class _Clip:
    """How a run clips its gradients before an update."""

    kind: str
    """`norm`, `norm P` for another norm than the 2-norm, `value`, or empty without clipping."""
    limit: float
    called: bool
    """Whether the call was seen; else it is what the update shows."""

    def same(self, other: _Clip) -> bool:
        """A limit that is measured has the rounding of norms in single precision."""
        return self.kind == other.kind and math.isclose(self.limit, other.limit, rel_tol=1e-3)

    @property
    def words(self) -> str:
        """What the gradients of an update are."""
        if not self.kind:
            return "not clipped"
        if self.kind == "value":
            return f"clipped by value at {number(self.limit)}"
        of = f"{self.kind.removeprefix('norm ')}-norm" if " " in self.kind else "norm"
        return f"{'clipped' if self.called else 'scaled'} to a {of} of {number(self.limit)}"

    @property
    def limit_words(self) -> str:
        """The limit, of a clip that need not act."""
        if not self.kind:
            return "none"
        if self.kind == "value":
            return f"values at {number(self.limit)}"
        of = f"{self.kind.removeprefix('norm ')}-norm" if " " in self.kind else "norm"
        return f"a {of} of {number(self.limit)}"


def clipping(ground: Ground) -> Iterator[Statement]:
    """At which norm or value gradients are clipped: as called, or as the update shows it."""
    one, two = (_clip(run) for run in ground.runs)
    if one is None or two is None or one.same(two):
        return
    acts = ground.stage in _UPDATE and _clip_acts(ground, one, two)
    text = f"an update uses gradients {two.words} against {one.words}"
    if not ground.stage and not (one.kind and two.kind):
        text = f"clipping of gradients: {two.limit_words} against {one.limit_words}"
    elif one.kind == two.kind == "norm" and not (one.called and two.called):
        text = f"an update uses gradients scaled to a norm of {against(two.limit, one.limit)}"
    elif one.kind == two.kind:
        how = {"norm": "", "value": " by value"}.get(one.kind, f" in the {one.kind[5:]}-norm")
        text = f"clips gradients{how} at {against(two.limit, one.limit)}"
    yield Statement(
        "clip",
        text,
        one.limit if one.kind else None,
        two.limit if two.kind else None,
        explains=acts,
        sites=("clip", "clip"),
    )


def _clip(run: RunView) -> _Clip | None:
    """None: not known."""
    kind, limit = run.setting("clip.kind"), run.setting("clip.limit")
    if isinstance(kind, str) and isinstance(limit, int | float):
        norm = run.setting("clip.norm_type")
        return _Clip(f"{kind} {norm}" if norm not in (None, "2.0") else kind, float(limit), True)
    if run.clip_norm is not None:
        return _Clip("norm", run.clip_norm, False)
    if not len(run.record.norms) or run.scales_gradients:
        return None
    return _Clip("", 0.0, False)


def _clip_acts(ground: Ground, one: _Clip, two: _Clip) -> bool:
    """Whether the two updates at the first divergence are given other gradients."""
    ones, twos = (ground.scale(run) for run in ground.runs)
    if not ones or not twos:  # not recorded: a clip acts on a norm above its limit
        norms = [ground.raw_norm(run) for run in ground.runs]
        return any(
            clip.kind and norm > clip.limit for clip, norm in zip((one, two), norms, strict=True)
        )
    factor_one, factor_two = one_factor(ones), one_factor(twos)
    if factor_one is not None and factor_two is not None:
        return abs(factor_two - factor_one) > UNIFORM * factor_one
    return any(abs(twos[n] - ones[n]) > UNIFORM * ones[n] for n in ones if n in twos)


def not_trained(ground: Ground) -> Iterator[Statement]:
    """Parameters that are frozen, or that no optimizer holds."""
    first = ground.evidence.first
    stages = ("gradients", "grad_norm", "learning_rate", *_UPDATE)
    for name, what in (
        ("weights.frozen", "frozen parameters"),
        ("optimizer.without", "parameters that the optimizer does not hold"),
    ):
        one, two = ground.values(name)
        if not ground.differs(name) or not (isinstance(one, list) and isinstance(two, list)):
            continue
        only = [
            n
            for n in (*one, *two)
            if (n in one) != (n in two) and all(run.may_have(n) for run in ground.runs)
        ]
        if not only:
            continue
        tensor = None if first is None else first.tensor
        yield Statement(
            name.partition(".")[2],
            f"{what}: {against(len(two), len(one))}, first {only[0]}",
            one,
            two,
            explains=ground.stage in stages and (tensor is None or tensor in only),
            sites=("", "") if name == "weights.frozen" else _OPTIMIZER,
        )


def resumed_state(ground: Ground) -> Iterator[Statement]:
    """The state of the optimizer that a resumed run put back."""
    steps = [run.observed("optimizer_without_state") for run in ground.runs]
    missing = [ground.begins in found for found in steps]
    if ground.begins == 1 or missing[0] == missing[1]:
        return
    run = ground.runs[missing.index(True)]
    yield Statement(
        "resumed_state",
        f"the optimizer of {run.label} has no state when it resumes after step {ground.begins - 1}",
        missing[0],
        missing[1],
        explains=ground.stage in ("learning_rate", *_UPDATE) and ground.step == ground.begins,
        sites=("optimizer", "") if missing[0] else ("", "optimizer"),
    )
