"""Measures false alarms and undetected changes for recipes drawn at random.

    python -m studies.random_recipes --pairs 200 --out FOLDER

For each pair a recipe and two loops are drawn. Both loops train with the recipe and must be
identical. Then one field of the candidate is changed. The pair must be found different, unless the
change has no effect for a reason in `INERT`, which was written before the run. 200 pairs are 600
short runs, about half an hour on 2 cores. Published: `reports/published/random-recipes`. The exit
code is 1 if there is a false alarm or an undetected change.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from harness.comparison.compare import compare
from harness.execution.parent.progress import bars
from harness.execution.parent.runner import Run, run_all
from harness.report.text.summary import sentence
from harness.spec import registry
from harness.spec.case import RunSpec
from harness.spec.recipe import Recipe
from harness.training.loops.plain import evaluation_is_due, schedule
from studies.study import write_result

LOOPS = ("plain", "accelerated", "trainer")
# The values of each field, from which recipes and changes are drawn.
WIDTH: dict[str, list[Any]] = {
    "seed": [42, 43],
    "data_seed": [None, 7, 8],
    "per_device_batch_size": [4, 8],
    "gradient_accumulation_steps": [1, 2, 3],
    "loss_average": ["window", "configured"],
    "drop_last": [False, True],
    "sampler": ["seeded", "global", "sequential", "length_grouped"],
    "padding": ["longest", "max_length"],
    "max_length": [88, 96],  # the longest row has 86 tokens
    "num_workers": [0, 1],
    "frozen": [None, "bert.embeddings", "classifier"],
    "label_smoothing": [0.0, 0.1],
    "optimizer": ["adamw", "sgd"],
    "momentum": [0.9, 0.5],
    "optimizer_flavour": ["fused", "foreach", "for_loop"],
    "learning_rate": [1e-3, 2e-3],
    "betas": [(0.9, 0.999), (0.8, 0.99)],
    "eps": [1e-8, 1e-6],
    "weight_decay": [0.0, 0.1],
    "decay_exclusions": ["bias_and_norm", "none"],
    "lr_schedule": ["linear", "cosine", "constant"],
    "warmup_steps": [0, 2],
    "warmup_ratio": [0.0, 0.5],
    "max_grad_norm": [1.0, 0.05, None],
    "eval_every": [None, 2, "epoch"],
    "precision": ["fp32", "bf16"],
    "gradient_checkpointing": [False, True],
    "attention": ["sdpa", "eager"],
    "max_steps": [4, 5],
}
Change = tuple[Recipe, Recipe]  # before, after
# Changes without effect, each with its reason.
INERT: dict[str, tuple[str, Callable[[Change], bool]]] = {
    "num_workers": ("the process that fetches a batch does not change it", lambda _: True),
    "gradient_checkpointing": (
        "recomputed activations are the same, with dropout too",
        lambda _: True,
    ),
    "data_seed": ("only the seeded sampler uses it", lambda c: c[0].sampler != "seeded"),
    "loss_average": (
        "equal if every window has the configured length",
        lambda c: not _short_window(c[0]),
    ),
    "drop_last": ("the last batch is not reached", lambda c: not _last_window_reached(c[0])),
    "max_length": (
        "no row is that long, and none is padded to it",
        lambda c: c[0].padding == "longest",
    ),
    "momentum": ("AdamW has no momentum", lambda c: c[0].optimizer == "adamw"),
    "betas": ("SGD has no betas", lambda c: c[0].optimizer == "sgd"),
    "eps": ("SGD has no eps", lambda c: c[0].optimizer == "sgd"),
    "decay_exclusions": ("the weight decay is zero", lambda c: c[0].weight_decay == 0.0),
    "warmup_ratio": ("the learning rates are the same", lambda c: _rates(c[0]) == _rates(c[1])),
    "warmup_steps": ("the learning rates are the same", lambda c: _rates(c[0]) == _rates(c[1])),
    "lr_schedule": ("the learning rates are the same", lambda c: _rates(c[0]) == _rates(c[1])),
    "eval_every": (
        "no evaluation comes before the last step, which always has one",
        lambda c: _evaluations(c[0]) == _evaluations(c[1]),
    ),
}
# Changes of rounding only, which may or may not be visible after few steps: both are right.
EITHER: dict[str, tuple[str, Callable[[Change], bool]]] = {
    "optimizer_flavour": (
        "implementations of SGD without decay differ only in single roundings",
        lambda c: c[0].optimizer == "sgd" and c[0].weight_decay == 0.0,
    ),
}
TRAIN_ROWS = 26
_NEVER: tuple[str, Callable[[Change], bool]] = ("", lambda _: False)


def _batches(recipe: Recipe) -> int:
    whole, rest = divmod(TRAIN_ROWS, recipe.per_device_batch_size)
    return whole + (1 if rest and not recipe.drop_last else 0)


def _last_window_reached(recipe: Recipe) -> bool:
    batches = math.ceil(TRAIN_ROWS / recipe.per_device_batch_size)
    return math.ceil(batches / recipe.gradient_accumulation_steps) <= (recipe.max_steps or 0)


def _short_window(recipe: Recipe) -> bool:
    """Whether a trained window has fewer micro-batches than configured."""
    return _batches(recipe) % recipe.gradient_accumulation_steps != 0 and _last_window_reached(
        recipe
    )


def _rates(recipe: Recipe) -> list[float]:
    steps = recipe.max_steps or 0
    return [schedule(recipe, step, steps) for step in range(steps)]


def _evaluations(recipe: Recipe) -> list[int]:
    """Steps before the last after which there is an evaluation."""
    per_epoch = math.ceil(_batches(recipe) / recipe.gradient_accumulation_steps)
    steps = recipe.max_steps or 0
    return [step for step in range(1, steps) if evaluation_is_due(recipe, step, per_epoch, steps)]


def draw_recipe(draw: random.Random) -> dict[str, Any]:
    """Draw a recipe: each field is drawn from its values with a probability of one third."""
    return {
        name: draw.choice(values) if draw.random() < 1 / 3 else values[0]
        for name, values in WIDTH.items()
    }


def draw_pairs(count: int, seed: int) -> list[tuple[RunSpec, RunSpec, RunSpec, str]]:
    """Reference, candidate, the candidate with one field changed, and that field's name.

    Fields are changed in turn, so that each is changed equally often.
    """
    draw = random.Random(seed)
    case = registry.cases()["paraphrase"]
    pairs = []
    for number in range(count):
        fields = draw_recipe(draw)
        name = list(WIDTH)[number % len(WIDTH)]
        changed = {
            **fields,
            name: draw.choice([value for value in WIDTH[name] if value != fields[name]]),
        }
        one, two = draw.sample(LOOPS, 2)
        small = {"train_rows": TRAIN_ROWS, "eval_rows": 8}
        before, after = (
            registry.with_settings(case, {**small, **values}) for values in (fields, changed)
        )
        pairs.append(
            (
                registry.run_spec(before, one),
                registry.run_spec(before, two),
                registry.run_spec(after, two),
                name,
            )
        )
    return pairs


def main(
    pairs: Annotated[int, typer.Option(min=1, help="Number of pairs.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    out: Annotated[Path, typer.Option(help="A new folder for records and result.")] = Path(
        "reports/random-recipes"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
) -> None:
    """Train the drawn pairs, count false alarms and undetected changes; write result.json."""
    drawn = draw_pairs(pairs, seed)
    runs = [
        Run(spec, out / "records" / f"{number:03}-{role}")
        for number, (*specs, _) in enumerate(drawn)
        for role, spec in zip("rct", specs, strict=True)
    ]
    with bars(runs, Console(stderr=True), experiments=True) as on_event:
        records = iter(run_all(runs, jobs, on_event, keep_going=True))
    counts = {name: {"changed": 0, "found": 0, "inert": 0} for name in WIDTH}
    alarms, unseen, noisy = [], [], []
    for number, (reference, candidate, changed, name) in enumerate(drawn):
        one, two, three = next(records), next(records), next(records)
        labels = (f"{number}: {reference.loop}", candidate.loop)
        clean = compare(one, two, labels)
        if clean.outcome != "identical":
            alarms.append(f"{sentence(clean)} {clean.doubts} {reference.recipe.model_dump()}")
        altered = compare(one, three, labels)
        counts[name]["changed"] += 1
        change = (candidate.recipe, changed.recipe)
        reason, holds = INERT.get(name, _NEVER)
        inert, either = holds(change), EITHER.get(name, _NEVER)[1](change)
        if altered.outcome == "different":
            counts[name]["found"] += 1
            if inert:
                noisy.append(f"{name} was expected to be inert ({reason}): {sentence(altered)}")
        elif (inert or either) and altered.outcome == "identical":
            counts[name]["inert"] += 1
        else:
            unseen.append(
                f"{name}: {sentence(altered)} {altered.doubts} "
                f"{changed.recipe.model_dump()[name]} for {reference.recipe.model_dump()}"
            )
    table = Table("field", "changed", "found", "inert, as expected")
    for name, row in counts.items():
        table.add_row(name, *(str(row[key]) for key in ("changed", "found", "inert")))
    console = Console()
    console.print(table)
    for title, lines in (("FALSE ALARM", alarms), ("UNDETECTED", unseen), ("NOT INERT", noisy)):
        for line in lines:
            console.print(f"{title} {line}", soft_wrap=True, markup=False)
    console.print(
        f"{pairs} clean pairs: {len(alarms)} false alarms; {pairs} changed: {len(unseen)} "
        f"undetected, {len(noisy)} found that were expected to be inert"
    )
    result = {
        "pairs": pairs,
        "seed": seed,
        "false_alarms": alarms,
        "unseen": unseen,
        "not_inert": noisy,
        "fields": counts,
        "inert": {name: reason for name, (reason, _) in INERT.items()},
        "either": {name: reason for name, (reason, _) in EITHER.items()},
    }
    write_result(out, result)
    sys.exit(1 if alarms or unseen or noisy else 0)


if __name__ == "__main__":
    typer.run(main)
