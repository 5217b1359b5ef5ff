"""The runs of the study of the noise envelope: references, their draws, clean pairs and faults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.spec import registry
from harness.spec.case import Perturbation, RunSpec

__all__ = ["Group", "plan_clean", "plan_faults"]

HERE = Path(__file__).parent
PLAIN = HERE.parents[1] / "harness" / "training" / "loops" / "plain.py"
SMALL = {"train_rows": 72, "eval_rows": 24, "num_epochs": 2}
OTHER_DRAWS = 1000  # numbers above it are perturbed candidates; numbers from 1 on are draws

FLAVOURS: dict[str, dict[str, Any]] = {
    "foreach": {"optimizer_flavour": "foreach"},
    "for-loop": {"optimizer_flavour": "for_loop"},
    "threads": {"num_threads": 2},
    "eager": {"attention": "eager"},
    "foreach-threads": {"optimizer_flavour": "foreach", "num_threads": 2},
    "for-loop-eager": {"optimizer_flavour": "for_loop", "attention": "eager"},
    "eager-threads": {"attention": "eager", "num_threads": 2},
}
# Recipes of the clean references, each with its own seed.
CLEAN: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("paraphrase", {}),
    "hot": ("paraphrase", {"learning_rate": 5e-4, "lr_schedule": "constant"}),
    "accumulated": ("paraphrase", {"gradient_accumulation_steps": 2, "num_epochs": 3}),
    "decayed": ("paraphrase", {"weight_decay": 0.1, "lr_schedule": "cosine", "warmup_steps": 3}),
    "clip-bites": ("paraphrase", {"max_grad_norm": 0.05, "eps": 1e-6}),
    "sgd": ("paraphrase", {"optimizer": "sgd", "learning_rate": 0.02}),
    "long": ("paraphrase", {"num_epochs": 3, "sampler": "global", "max_grad_norm": None}),
    "tokens": ("token_classification", {"learning_rate": 5e-4}),
}
EAGER = {name: changed for name, changed in FLAVOURS.items() if "attention" in changed}
OTHERS = {name: changed for name, changed in FLAVOURS.items() if name not in EAGER}
BF16 = {"precision": "bf16"}
BF16_DRAWS = 16  # draws whose passes are rounded to bf16

# Each reference and its faults: recipe fields, or a loop of this folder.
FAULTS: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any] | str]]] = {
    "adamw": (
        {"learning_rate": 5e-5},
        {
            "decay 1e-4": {"weight_decay": 1e-4},
            "decay 1e-2": {"weight_decay": 1e-2},
            "learning rate off by 0.1%": {"learning_rate": 5e-5 * 1.001},
            "learning rate off by 0.0002%": {"learning_rate": 5e-5 * 1.000002},
            "eps 1e-7": {"eps": 1e-7},
            "eps off by 1%": {"eps": 1.01e-8},
            "beta2 0.9991": {"betas": (0.9, 0.9991)},
            "head's bias frozen": {"frozen": "classifier.bias"},
            "a norm's bias frozen": {"frozen": "bert.encoder.layer.0.output.LayerNorm.bias"},
            "clip at 1.001": {"max_grad_norm": 1.001},
            "label smoothing 1e-5": {"label_smoothing": 1e-5},
            "gradient off by 0.1% in one tensor": "gradient_off",
            "loss off by 0.1%": "loss_off",
            "dropout 0.11": "dropout_0_11",
            "dropout 0.101": "dropout_0_101",
            "head off by 1e-6 at the start": "head_off",
            "LayerNorm eps 1e-5": "layer_norm_eps",
            "GELU by tanh": "gelu_tanh",
            "a weight through bf16": "weight_in_bf16",
        },
    ),
    "sgd": (
        {"optimizer": "sgd", "learning_rate": 0.02},
        {
            "SGD, decay 1e-4": {"weight_decay": 1e-4},
            "SGD, decay 1e-6": {"weight_decay": 1e-6},
            "SGD, gradient off by 0.1% in one tensor": "gradient_off",
            "SGD, loss off by 0.1%": "loss_off",
            "SGD, momentum 0.9001": {"momentum": 0.9001},
        },
    ),
}
TWIN = '''"""The loop {stem} in double precision."""

import runpy

_loop = runpy.run_path({path!r})


def train(workload, recipe, probe):
    workload.model.double()
    return _loop["train"](workload, recipe, probe)
'''


@dataclass(frozen=True)
class Group:
    """Names of runs: one reference, its draws, and the candidates compared with them."""

    name: str
    rounding: str
    draws: list[str]
    candidates: list[str]


def _spec(workload: str, settings: dict[str, Any], loop: str = "plain", **more: Any) -> RunSpec:
    case = registry.with_settings(registry.cases()[workload], {**SMALL, **settings})
    return registry.run_spec(case, loop, sketch=True, **more)


def _group(
    specs: dict[str, RunSpec],
    name: str,
    workload: str,
    settings: dict[str, Any],
    draws: int,
    candidates: dict[str, dict[str, Any]],
    rounding: Literal["weights", "bf16"] = "weights",
    others: int = 0,
) -> Group:
    """Add the runs of one reference to `specs`."""

    def perturbed(draw: int) -> RunSpec:
        kind = Perturbation(draw=draw, rounding=rounding)
        return _spec(workload, settings, perturbation=kind)

    specs[f"{name}/reference"] = _spec(workload, settings)
    drawn = {f"{name}/draw-{number}": perturbed(number) for number in range(1, draws + 1)}
    compared = {
        f"{name}/{label}": _spec(workload, {**settings, **changed})
        for label, changed in candidates.items()
    }
    compared |= {
        f"{name}/perturbed-{number}": perturbed(OTHER_DRAWS + number)
        for number in range(1, others + 1)
    }
    specs |= {**drawn, **compared}
    return Group(name, rounding, list(drawn), list(compared))


def plan_clean(specs: dict[str, RunSpec], draws: int, seed: int) -> list[Group]:
    """The groups of clean pairs; their runs are added to `specs`."""
    groups = [
        _group(
            specs, name, workload, {"seed": seed + number, **settings}, draws, FLAVOURS, others=4
        )
        for number, (name, (workload, settings)) in enumerate(CLEAN.items())
    ]
    settings = {"seed": seed + len(CLEAN)}
    autocast = {"bf16": BF16, **{name: {**BF16, **other} for name, other in FLAVOURS.items()}}
    both = {**settings, **BF16}
    return [
        *groups,
        _group(specs, "bf16-fp32", "paraphrase", settings, BF16_DRAWS, autocast, "bf16"),
        _group(specs, "bf16", "paraphrase", both, draws, OTHERS, others=4),
        _group(specs, "bf16-eager", "paraphrase", both, BF16_DRAWS, EAGER, "bf16"),
    ]


def plan_faults(
    specs: dict[str, RunSpec], draws: int, seed: int, twins: Path
) -> list[tuple[Group, dict[str, str]]]:
    """For each reference, its group and the faults' titles by run; fp64 twins end in `-fp64`."""
    twins.mkdir(parents=True)
    planned = []
    for number, (name, (base, faults)) in enumerate(FAULTS.items()):
        settings = {"seed": seed + 100 + number, **base}
        group = _group(specs, f"faults-{name}", "paraphrase", settings, draws, {})
        titles = {}
        specs[f"{group.name}/reference-fp64"] = _spec("paraphrase", settings, _twin(twins, PLAIN))
        for place, (title, fault) in enumerate(faults.items()):
            run = f"{group.name}/fault-{place}"
            titles[run] = title
            loop = PLAIN if isinstance(fault, dict) else HERE / f"{fault}.py"
            changed = {**settings, **(fault if isinstance(fault, dict) else {})}
            specs[run] = _spec("paraphrase", changed, str(loop))
            specs[f"{run}-fp64"] = _spec("paraphrase", changed, _twin(twins, loop))
        planned.append((group, titles))
    return planned


def _twin(folder: Path, loop: Path) -> str:
    """Write a loop that trains as `loop` does in double precision; return its path."""
    path = folder / f"{loop.stem}_in_double.py"
    path.write_text(TWIN.format(stem=loop.stem, path=str(loop)), encoding="utf-8")
    return str(path)
