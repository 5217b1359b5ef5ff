"""Clean pairs of loops: matched loops on one recipe, resumed runs, and several processes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.execution.parent.reuse import is_done
from harness.execution.parent.runner import Run, run_all
from harness.spec import registry
from harness.spec.case import Case
from harness.spec.suites import SUITES
from studies.clean.pair import Pair
from studies.random_recipes import LOOPS, draw_recipe

__all__ = ["loop_pairs"]

_SEED = 18  # not that of `studies.detection`: these recipes are other ones


def loop_pairs(folder: Path, recipes: int, jobs: int, train: bool = True) -> Iterator[Pair]:
    """Train what is not trained yet in `folder`, and give each pair."""
    groups = [
        ("recipes", list(_drawn(recipes))),
        ("resumed", _without_note("resume")),
        ("two processes", _without_note("two-processes")),
    ]
    for kind, cases in groups:
        place = folder / kind.replace(" ", "-")
        if train:
            _train(_runs(cases, place, kind == "resumed"), jobs)
        for case in cases:
            yield from _pairs(case, place, kind)


def _drawn(count: int) -> Iterator[Case]:
    draw = random.Random(_SEED)
    case = registry.cases()["paraphrase"]
    for number in range(count):
        fields = {
            **draw_recipe(draw),
            "seed": draw.randrange(10**6),
            "max_steps": draw.randrange(4, 13),
            "train_rows": draw.randrange(20, 60),
            "eval_rows": draw.randrange(6, 14),
        }
        small = registry.with_settings(case, fields)
        yield small.model_copy(update={"name": f"recipe-{number:03}"})


def _without_note(suite: str) -> list[Case]:
    """The cases of a suite on which the loops are not known to differ."""
    return [case for case in SUITES[suite]() if not case.note]


def _runs(cases: Iterable[Case], folder: Path, resumed: bool) -> Iterator[Run]:
    for case, loop in itertools.product(cases, LOOPS):
        yield Run(registry.run_spec(case, loop), folder / f"{case.name}-{loop}")
        if resumed:
            spec = registry.run_spec(case, loop, resume_at=case.resume_at)
            yield Run(spec, folder / f"{case.name}-{loop}-resumed")


def _train(runs: Iterable[Run], jobs: int) -> None:
    waiting = [run for run in runs if not is_done(run)]
    run_all(waiting, jobs, lambda _number, _event: None, keep_going=True)


def _pairs(case: Case, folder: Path, kind: str) -> Iterator[Pair]:
    records: Sequence[Path] = [folder / f"{case.name}-{loop}" for loop in LOOPS]
    for one, two in itertools.combinations(records, 2):
        yield Pair(kind, f"{one.name} and {two.name}", one, two)
    if kind == "resumed":
        for whole in records:
            again = whole.with_name(f"{whole.name}-resumed")
            yield Pair(kind, f"{whole.name} and {again.name}", whole, again)
