"""The noise rung holds and bites: no rounding is called a fault, and no visible fault is rounding.

    python -m studies.noise_envelope --out FOLDER

Clean pairs: a reference against the same training by other kernels (optimizer flavour, attention,
threads, and two of these at once) and against perturbed runs that are no draws of its envelope; by
several recipes. The allowance in `harness/comparison/noise/mean_shift.py` was measured on none of
their seeds. None may be `different`.

Faults: small ones, each judged against the envelope of its recipe. How large a fault truly is, is
found apart from all rounding: clean and faulty are trained once more in double precision, and the
difference of these two is laid against the envelope's bounds. A fault whose true difference passes
a bound lies above the smallest visible one and must be `different`; what lies below is reported,
and so is what comes to nothing in single precision, bit for bit.
Only the judged fields count here: a learning rate that is off is also seen by its own stage.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from harness.comparison.compare import compare
from harness.comparison.noise.band import NoiseBand
from harness.comparison.noise.verdict import ROUNDING_LEAVES, apply_noise
from harness.execution.parent.progress import bars
from harness.execution.parent.runner import Run, run_all
from harness.results.noise import Noise
from harness.results.record import RunRecord, write_atomically
from harness.spec import registry as catalogue
from harness.spec.case import Perturbation, RunSpec

HERE = Path(__file__).parent
PLAIN = HERE.parent / "harness" / "loops" / "plain.py"
SMALL = {"train_rows": 72, "eval_rows": 24, "num_epochs": 2}
OTHER_DRAWS = 1000  # perturbed runs from here on are candidates, those from 1 on draws

FLAVOURS: dict[str, dict[str, Any]] = {
    "foreach": {"optimizer_flavour": "foreach"},
    "for-loop": {"optimizer_flavour": "for_loop"},
    "threads": {"num_threads": 2},
    "eager": {"attention": "eager"},
    "foreach-threads": {"optimizer_flavour": "foreach", "num_threads": 2},
    "for-loop-eager": {"optimizer_flavour": "for_loop", "attention": "eager"},
    "eager-threads": {"attention": "eager", "num_threads": 2},
}
# Recipes of the clean references, each with a seed of its own.
CLEAN: dict[str, tuple[str, dict[str, Any]]] = {
    "course": ("paraphrase", {}),
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
BF16_DRAWS = 16  # of those that round passes to bf16

# Reference, then its faults: fields of the recipe, or a loop of `noise_loops/`.
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
    """One reference, its draws, and what is judged against them; names of runs."""

    name: str
    rounding: str
    draws: list[str]
    candidates: list[str]


def _spec(workload: str, settings: dict[str, Any], loop: str = "plain", **more: Any) -> RunSpec:
    case = catalogue.with_settings(catalogue.cases()[workload], {**SMALL, **settings})
    return catalogue.run_spec(case, loop, sketch=True, **more)


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
    judged = {
        f"{name}/{label}": _spec(workload, {**settings, **changed})
        for label, changed in candidates.items()
    }
    judged |= {
        f"{name}/perturbed-{number}": perturbed(OTHER_DRAWS + number)
        for number in range(1, others + 1)
    }
    specs |= {**drawn, **judged}
    return Group(name, rounding, list(drawn), list(judged))


def plan_clean(specs: dict[str, RunSpec], draws: int, seed: int) -> list[Group]:
    """The groups of clean pairs, their runs added to `specs`."""
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
    """For each reference its group and, by candidate, the fault's title; twins end in `-fp64`."""
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
            loop = PLAIN if isinstance(fault, dict) else HERE / "noise_loops" / f"{fault}.py"
            changed = {**settings, **(fault if isinstance(fault, dict) else {})}
            specs[run] = _spec("paraphrase", changed, str(loop))
            specs[f"{run}-fp64"] = _spec("paraphrase", changed, _twin(twins, loop))
        planned.append((group, titles))
    return planned


def _twin(folder: Path, loop: Path) -> str:
    """The path of a loop that makes the model double and then trains by `loop`."""
    path = folder / f"{loop.stem}_in_double.py"
    path.write_text(TWIN.format(stem=loop.stem, path=str(loop)), encoding="utf-8")
    return str(path)


def _nearest(noise: Noise) -> tuple[float, str]:
    """The largest difference in units of its bound, and its field."""
    return max((abs(f.difference) / f.threshold, f.tensor or f.field) for f in noise.fields)


def judge_clean(groups: list[Group], records: dict[str, RunRecord]) -> list[dict[str, Any]]:
    """One row a pair: outcome, doubts, and how near it came to a bound."""
    rows = []
    for group in groups:
        reference = records[f"{group.name}/reference"]
        envelope = NoiseBand(reference, [records[draw] for draw in group.draws], group.rounding)
        for name in group.candidates:
            bitwise = compare(reference, records[name], ("reference", name))
            found = apply_noise(bitwise, reference, records[name], envelope)
            share, field = _nearest(found.noise) if found.noise else (0.0, "")
            rows.append(
                {
                    "pair": name,
                    "outcome": found.outcome,
                    "share_of_bound": share,
                    "field": field,
                    "doubts": found.doubts,
                }
            )
    return rows


def judge_faults(
    planned: list[tuple[Group, dict[str, str]]], records: dict[str, RunRecord]
) -> list[dict[str, Any]]:
    """One row a fault: its true size against the bounds, and what was said of it."""
    rows = []
    for group, titles in planned:
        reference = records[f"{group.name}/reference"]
        clean = records[f"{group.name}/reference-fp64"]
        envelope = NoiseBand(reference, [records[draw] for draw in group.draws], group.rounding)
        for run, title in titles.items():
            bitwise = compare(reference, records[run], ("reference", title))
            noise = envelope.judge(reference, records[run])
            true = envelope.judge(clean, records[f"{run}-fp64"])
            # Both are strangers to the envelope, which widens its bounds for two noisy sides.
            size = _nearest(true)[0] * math.sqrt(2)
            seen, field = _nearest(noise)
            moved = next(f for f in true.fields if f.field == "weights")
            rows.append(
                {
                    "fault": title,
                    "true_share_of_bound": size,
                    "true_field": _nearest(true)[1],
                    "true_share_of_movement": moved.relative,
                    "above": size > 1 and bitwise.outcome != "identical",
                    "bitwise": bitwise.outcome,
                    "outcome": noise.outcome,
                    "share_of_bound": seen,
                    "field": field,
                    "beyond": [f.field for f in noise.fields if f.outcome == "different"],
                    "also_seen_by": [
                        s.stage
                        for s in bitwise.stages
                        if s.differing and s.stage in ROUNDING_LEAVES
                    ],
                    "smallest_visible": {f.field: f.smallest_visible for f in noise.fields},
                }
            )
    return rows


def _tables(clean: list[dict[str, Any]], faults: list[dict[str, Any]], console: Console) -> None:
    table = Table(
        "group", "pairs", "within_noise", "inconclusive", "different", "identical", "nearest"
    )
    for name in dict.fromkeys(row["pair"].partition("/")[0] for row in clean):
        rows = [row for row in clean if row["pair"].startswith(f"{name}/")]
        counts = [
            str(sum(row["outcome"] == outcome for row in rows))
            for outcome in ("within_noise", "inconclusive", "different", "identical")
        ]
        near = max(rows, key=lambda row: row["share_of_bound"])
        table.add_row(
            name, str(len(rows)), *counts, f"{near['share_of_bound']:.2f} {near['field']}"
        )
    console.print(table)
    second = Table(
        "fault", "true size / bound", "of movement", "measured / bound", "outcome", "also seen by"
    )
    for row in faults:
        second.add_row(
            row["fault"],
            f"{row['true_share_of_bound']:.2g} {row['true_field']}",
            f"{row['true_share_of_movement'] or 0:.2g}",
            f"{row['share_of_bound']:.2g} {row['field']}",
            row["outcome"] if row["bitwise"] != "identical" else "identical, bit for bit",
            ", ".join(row["also_seen_by"]),
        )
    console.print(second)


def main(
    draws: Annotated[int, typer.Option(min=4, help="Of each reference.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the first reference; the others count on.")] = 100,
    out: Annotated[Path, typer.Option(help="A new folder for records and result.")] = Path(
        "reports/noise-envelope"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
) -> None:
    """Train clean and faulty pairs, count what the noise rung says, and write result.json."""
    started = time.monotonic()
    specs: dict[str, RunSpec] = {}
    groups = plan_clean(specs, draws, seed)
    planned = plan_faults(specs, draws, seed, out / "loops")
    runs = [Run(spec, out / "records" / name) for name, spec in specs.items()]
    with bars(runs, Console(stderr=True)) as on_event:
        made = run_all(runs, jobs, on_event)
    records = dict(zip(specs, made, strict=True))
    clean, faults = judge_clean(groups, records), judge_faults(planned, records)
    console = Console(width=140)
    _tables(clean, faults, console)
    apart = [row for row in clean if row["outcome"] != "identical"]
    alarms = [row["pair"] for row in apart if row["outcome"] == "different"]
    above = [row for row in faults if row["above"]]
    inert = [row["fault"] for row in faults if row["bitwise"] == "identical"]
    unseen = [row["fault"] for row in above if row["outcome"] != "different"]
    passed = sum(row["outcome"] == "within_noise" for row in apart)
    console.print(
        f"{len(apart)} clean pairs that are not identical: {passed} within noise, "
        f"{len(alarms)} called different, {len(apart) - passed - len(alarms)} inconclusive\n"
        f"{len(faults)} faults: {len(above)} above the smallest visible, of which "
        f"{len(above) - len(unseen)} called different; {len(inert)} come to nothing bit for bit; "
        f"{len(faults) - len(above) - len(inert)} below"
    )
    for title, names in (("FALSE ALARM", alarms), ("UNSEEN", unseen)):
        for name in names:
            console.print(f"{title} {name}", markup=False)
    result = {
        "draws": draws,
        "seed": seed,
        "wall_s": time.monotonic() - started,
        "clean_pairs": len(apart),
        "false_alarms": alarms,
        "unseen": unseen,
        "clean": clean,
        "faults": faults,
    }
    with write_atomically(out / "result.json") as path:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if alarms or unseen or len(apart) < 100 else 0)


if __name__ == "__main__":
    typer.run(main)
