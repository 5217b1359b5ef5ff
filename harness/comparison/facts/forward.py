"""Statements about the model and its loss: what a forward pass computes, and how exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.comparison.causes.run_view import RunView
from harness.comparison.circumstances import passes_draw
from harness.comparison.factors import factors
from harness.comparison.facts.ground import Ground
from harness.comparison.facts.statement import Statement, against, plain
from harness.spec.case import RunSpec
from harness.units import counted

__all__ = [
    "attention",
    "backward_loss",
    "compute_dtype",
    "dropout",
    "environment",
    "flags",
    "label_smoothing",
    "loss_function",
    "norm_eps",
    "training_mode",
    "weights_dtype",
]

_SMALL = 1e-2  # relative; TF32 changes a value by about 1e-3
_COMPUTED = ("loss", "gradients", "grad_norm", "weights", "optimizer_state")
_FLAGS = {
    "flags.threads": "threads",
    "flags.float32_matmul_precision": "precision of float32 matrix products",
    "flags.tf32": "TF32 in matrix products",
    "flags.cudnn_tf32": "TF32 in cuDNN",
    "flags.deterministic": "deterministic algorithms",
    "flags.cudnn_deterministic": "deterministic algorithms in cuDNN",
    "flags.cudnn_benchmark": "cuDNN's search for the fastest algorithm",
    "model.gradient_checkpointing": "activation checkpointing",
}


def _in_first_pass(ground: Ground) -> bool:
    """Whether the first forward pass gives another loss, or draws other numbers on its way."""
    if not ground.at_start:
        return False
    first = ground.evidence.first
    later = first is not None and (first.micro_batch or 1) > 1
    return ground.stage == "loss" or (ground.stage == "rng" and later)


def dropout(ground: Ground) -> Iterator[Statement]:
    """Dropout probabilities, by module where the two have the same modules."""
    if not ground.differs("model.dropout"):
        return
    one, two = ground.values("model.dropout")
    if not (isinstance(one, dict) and isinstance(two, dict)):
        return
    if any(
        not p and passes_draw(run.record) for p, run in zip((one, two), ground.runs, strict=True)
    ):
        return  # without such a module, and with random numbers: a function may drop out
    places = [_by_module(value) for value in ground.values("model.dropout_modules")]
    text = f"dropout {_counted(two, 'module')} against {_counted(one, 'module')}"
    only = _only(one), _only(two)
    if None not in only and only[0] != only[1]:
        text = f"dropout {only[1]} against {only[0]}"
    elif places[0] and places[0].keys() == places[1].keys():
        changed = [name for name in places[0] if places[0][name] != places[1][name]]
        pairs = {(places[0][name], places[1][name]) for name in changed}
        if len(pairs) == 1:
            only = next(iter(pairs))
            modules = "1 module" if len(changed) == 1 else f"{len(changed)} modules"
            which = changed[0] if len(changed) == 1 else f"first {changed[0]}"
            text = f"dropout {only[1]} against {only[0]} in {modules}, {which}"
    sites = f"dropout {only[0]}", f"dropout {only[1]}"
    yield Statement("dropout", text, one, two, _in_first_pass(ground), sites=sites)


def _only(counts: dict[str, Any]) -> str | None:
    """The one probability of a model; '0' for a model without dropout, None for several."""
    if not counts:
        return "0"
    return next(iter(counts)) if len(counts) == 1 else None


def _counted(counts: dict[str, Any], noun: str) -> str:
    """'0.1 in 3 modules and 0.2 in 1 module', or 'none'."""
    parts = [f"{value} in {counted(count, noun)}" for value, count in counts.items()]
    return " and ".join(parts) or "none"


def _by_module(places: Any) -> dict[str, str]:
    """The probability of each module by its name."""
    if not isinstance(places, dict):
        return {}
    return {name: p for p, names in places.items() if isinstance(names, list) for name in names}


def norm_eps(ground: Ground) -> Iterator[Statement]:
    """The eps of the norm layers."""
    if not ground.differs("model.norm_eps"):
        return
    one, two = ground.values("model.norm_eps")
    if isinstance(one, dict) and isinstance(two, dict):
        same_count = list(one.values()) == list(two.values()) and len(one) == 1
        texts = [next(iter(each)) if same_count else _counted(each, "layer") for each in (one, two)]
        text = f"eps of the norm layers {texts[1]} against {texts[0]}"
        yield Statement("norm_eps", text, one, two, _in_first_pass(ground))


def label_smoothing(ground: Ground) -> Iterator[Statement]:
    """Label smoothing of the cross-entropy."""
    one, two = (_smoothing(run) for run in ground.runs)
    if one is not None and two is not None and one != two:
        text = f"label smoothing {against(two, one)}"
        yield Statement(
            "label_smoothing",
            text,
            one,
            two,
            ground.stage == "loss" and ground.at_start,
            sites=("backward", "backward"),
        )


def _smoothing(run: RunView) -> float | None:
    """From the graph of the loss; a loop that ships follows its recipe; None: not known."""
    found = run.setting("loss.label_smoothing")
    if isinstance(found, int | float):
        return float(found)
    spec = run.record.spec
    loop = getattr(spec, "loop", ".py")
    return None if loop.endswith(".py") else run.record.run_spec.recipe.label_smoothing


def loss_function(ground: Ground) -> Iterator[Statement]:
    """The function of the loss, and whether it is a mean or a sum."""
    explains = ground.stage == "loss" and ground.at_start
    sites = ("backward", "backward")
    for name, words in (("loss.function", "loss function"), ("loss.reduction", "loss as a")):
        if ground.differs(name):
            one, two = ground.values(name)
            if "none" in (one, two):
                return  # what follows such a loss is not known, so it is another loss altogether
            text = f"{words} {against(two, one)}"
            yield Statement(name.removeprefix("loss."), text, one, two, explains, sites=sites)
            return


def backward_loss(ground: Ground) -> Iterator[Statement]:
    """The scalar of `backward`, where it is not the workload's own loss on one side alone."""
    if not ground.evidence.only_backward_differs or ground.evidence.gradient_factor is not None:
        return
    known = any(next(rule(ground), None) for rule in (label_smoothing, loss_function))
    if known or None in ground.updates:
        return
    place = (ground.evidence.first.micro_batch or 1) - 1 if ground.evidence.first else 0
    rows = [update.rows[place] for update in ground.updates if update is not None]
    losses, own = [row["loss"] for row in rows], [row["task_loss"] for row in rows]
    if (
        None in (*losses, *own)
        or own[0] != own[1]
        or (losses[0] == own[0]) == (losses[1] == own[1])
    ):
        return
    yield Statement(
        "loss",
        f"loss that goes backward {against(losses[1], losses[0])}, where the workload's own loss "
        f"is {plain(own[0])} in both",
        losses[0],
        losses[1],
        explains=True,
        sites=("backward", "backward"),
    )


def compute_dtype(ground: Ground) -> Iterator[Statement]:
    """The type in which a forward pass computes, as autocast sets it."""
    step = max(ground.step, 1)
    one, two = (next(iter(run.circumstance(step, "compute_dtype")), None) for run in ground.runs)
    if one and two and one != two:
        explains = ground.stage in ("loss", "gradients") and ground.at_start
        yield Statement("compute_dtype", f"computes in {against(two, one)}", one, two, explains)


def weights_dtype(ground: Ground) -> Iterator[Statement]:
    """The type of the weights."""
    if ground.differs("weights.dtype"):
        one, two = ground.values("weights.dtype")
        names = [
            " and ".join(map(str, value)) if isinstance(value, dict) else plain(value)
            for value in (two, one)
        ]
        text = f"weights of type {names[0]} against {names[1]}"
        yield Statement(
            "weights_dtype", text, one, two, ground.stage in ("config", "initial_weights")
        )


def environment(ground: Ground) -> Iterator[Statement]:
    """Environment variables that override the code."""
    for name, setting in ground.evidence.settings.items():
        if name.startswith("environment."):
            values = [
                "not set" if value is None else value
                for value in (setting.candidate, setting.reference)
            ]
            variable = name.removeprefix("environment.")
            yield Statement(
                variable,
                f"environment variable {variable} {values[0]} against {values[1]}",
                setting.reference,
                setting.candidate,
                ground.stage == "config",
            )


def training_mode(ground: Ground) -> Iterator[Statement]:
    """Training or evaluation mode of the model at the first divergence; of loops, a cause is."""
    first = ground.evidence.first
    if first is None or ground.stage not in ("rng", "loss"):
        return
    if all(isinstance(run.record.spec, RunSpec) for run in ground.runs):
        return
    place = (first.micro_batch or 1) - 1
    modes = [run.circumstance(ground.step, "training") for run in ground.runs]
    if any(place >= len(seen) for seen in modes):
        return
    one, two = (seen[place] for seen in modes)
    if {one, two} == {True, False}:
        words = {True: "training", False: "evaluation"}
        text = f"the model is in {words[two]} mode against {words[one]} mode at step {ground.step}"
        yield Statement("training_mode", text, one, two, explains=True)


def attention(ground: Ground) -> Iterator[Statement]:
    """The kernel of the attention."""
    if ground.differs("model.attention"):
        one, two = ground.values("model.attention")
        explains = ground.stage in ("loss", "gradients") and _is_small(ground)
        text = f"attention kernel {against(two, one)}"
        yield Statement("attention", text, one, two, explains, rounds=True)


def flags(ground: Ground) -> Iterator[Statement]:
    """Flags of torch that change how numbers are rounded."""
    for name, words in _FLAGS.items():
        if ground.differs(name):
            one, two = ground.values(name)
            yield Statement(
                name.partition(".")[2],
                f"{words}: {against(two, one)}",
                one,
                two,
                explains=ground.stage in _COMPUTED and _is_small(ground),
                rounds=True,
            )


def _is_small(ground: Ground) -> bool:
    """Whether the first difference can be one of rounding."""
    first = ground.evidence.first
    if ground.stage in ("loss", "grad_norm"):
        relative = None if first is None else first.relative
        return relative is not None and relative < _SMALL
    if ground.stage == "gradients":
        one, two = (run.record for run in ground.runs)
        return all(abs(ratio - 1) < _SMALL for ratio in factors(one, two, ground.step).values())
    return True
