"""Statements about the update: its rule and options, decay, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.comparison.causes.run_view import RunView
from harness.comparison.facts.ground import Ground
from harness.comparison.facts.statement import Statement, against, plain
from harness.units import number

__all__ = [
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
_COUPLED = {
    *("ASGD", "Adadelta", "Adagrad", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD"),
}
"""Optimizers of torch that add the decay to the gradient, unless they are asked not to."""
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
    if run.setting("optimizer.decoupled_weight_decay") is True or of == "AdamW":
        return "decoupled"
    return "coupled" if of in _COUPLED else None


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
