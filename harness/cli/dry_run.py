"""`--dry-run`: what a command would train, where its results would go, and about how long it takes.

Nothing is written and no worker starts. What only a worker finds, such as a damaged row of the data
or a recipe that a loop refuses, is not found here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from harness.cli.options import OUTPUT
from harness.cli.shared import View, output_console
from harness.errors import SpecError
from harness.execution.environments.requirements import parse
from harness.execution.environments.variants import find_library_sets
from harness.execution.parent.forecast import Forecast, total_s
from harness.execution.parent.plan import plan, runs_in
from harness.execution.parent.reuse import left_to_make
from harness.execution.parent.slurm import check_slurm
from harness.results.folders import DEFAULT_PARENT, RECORDS, check_unused, new_in_reports
from harness.results.metrics import parse_margins
from harness.spec.case import RunSpec, label
from harness.spec.expand import variant_of
from harness.spec.request import RunRequest
from harness.units import about, counted

__all__ = [
    "DryRunOption",
    "Plan",
    "PlannedRun",
    "duration_of",
    "earlier_in",
    "plan_of_run",
    "planned_run",
    "show_plan",
]

DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print what would be trained, where the results would go, and about how long it takes "
        "if earlier records show it. Write nothing.",
        rich_help_panel=OUTPUT,
    ),
]


@dataclass(frozen=True)
class PlannedRun:
    """One training process, or several that train one model."""

    case: str
    run: str
    device: str
    processes: int | None
    """None: as a command starts them."""
    steps: int | None = None
    """Optimizer updates; None: not known before the data is read, or as many as there is time."""
    epochs: int | None = None
    """Passes over the training rows, if they decide the length."""
    about_s: float | None = None
    """Seconds in the loop; None: not known, or as many as there are."""


@dataclass(frozen=True)
class Plan:
    """What a command would do."""

    runs: Sequence[PlannedRun]
    folder: str
    about_s: float | None
    """Seconds that it takes, as far as that is known; None: unknown."""
    duration: str
    """The same as a sentence, with what it includes."""
    notes: Sequence[str] = ()
    """What else a user must know, one sentence each."""


def plan_of_run(request: RunRequest) -> Plan:
    """What `harness run` would do. Raises `SpecError` as it does before it starts a worker."""
    parse_margins(request.margins)
    if request.executor == "slurm":
        check_slurm(request.option("executor", "slurm"))
    names = _library_sets(request)
    planned = plan(request, names)
    first = planned[0].case
    name = request.suite or first.libraries_of or first.seed_of or first.name
    folder = request.out or new_in_reports(name)
    continued = request.reuses_out and (folder / RECORDS).is_dir()
    if not continued:
        check_unused(folder, resumable=True)
    runs = runs_in(folder, planned, dict.fromkeys(names))
    waiting = [run.spec for run in (left_to_make(folder, runs).waiting if continued else runs)]
    forecast = Forecast(earlier_in(folder))
    rows = [planned_run(spec, forecast) for spec in waiting]
    about_s, duration = duration_of(waiting, forecast, request.jobs)
    if request.executor == "slurm":
        about_s, duration = None, "How long it takes depends on the queue of the cluster"
    notes = _notes_of_run(request, len(planned) - len(waiting))
    return Plan(rows, str(folder), about_s, duration, notes)


def planned_run(spec: RunSpec, forecast: Forecast) -> PlannedRun:
    """One run with what earlier records show of it."""
    expected = forecast.of(spec)
    case = spec.case
    return PlannedRun(
        case=case.name if case.libraries_of is None else " ".join(variant_of(case)),
        run=label(spec),
        device=case.device,
        processes=case.world_size,
        steps=expected.steps,
        epochs=None if spec.recipe.max_steps else spec.recipe.num_epochs,
        about_s=expected.loop_s,
    )


def duration_of(
    specs: Sequence[RunSpec], forecast: Forecast, jobs: int | None
) -> tuple[float | None, str]:
    """Seconds that these runs train, None if that is not known, and a sentence that says it."""
    if not specs:
        return 0.0, "Nothing is left to train"
    expected = [forecast.of(spec).loop_s for spec in specs]
    known = [(s, seconds) for s, seconds in zip(specs, expected, strict=True) if seconds]
    if len(known) < len(specs):
        missing = f"{len(specs) - len(known)} of the {counted(len(specs), 'run')}"
        return None, f"How long it takes is not known: no earlier record shows {missing}"
    about_s = total_s(known, jobs)
    started = "and some seconds to start each run"
    text = f"{about(about_s).capitalize()} of training by earlier records, {started}"
    return about_s, text


def show_plan(plan: Plan, view: View) -> int:
    """Print the plan; the exit code is 0."""
    console = output_console()
    if view == "json":
        console.print(json.dumps({"dry_run": asdict(plan)}, indent=1), soft_wrap=True, markup=False)
        return 0
    cases = counted(len({run.case for run in plan.runs}), "case")
    head = f"Dry run, nothing is written: {counted(len(plan.runs), 'run')} of {cases}"
    lines = [head if plan.runs else "Dry run, nothing is written: no run is missing"]
    if view != "quiet":
        console.print(lines.pop(), markup=False, highlight=False, soft_wrap=True)
        if plan.runs:
            console.print(_table(plan.runs))
        lines += [f"{note}." for note in plan.notes]
    for line in [*lines, f"{plan.duration}.", f"Results: {plan.folder}"]:
        console.print(line, markup=False, highlight=False, soft_wrap=line.startswith("Results"))
    return 0


def _table(runs: Sequence[PlannedRun]) -> Table:
    """A line for each run; columns that would be empty are left out."""
    columns = {
        "case": [run.case for run in runs],
        "run": [run.run for run in runs],
        "device": [run.device for run in runs],
        "processes": ["" if run.processes is None else str(run.processes) for run in runs],
        "length": [_length(run) for run in runs],
        "training": ["" if run.about_s is None else about(run.about_s) for run in runs],
    }
    shown = {title: cells for title, cells in columns.items() if any(cells)}
    table = Table(*shown, box=None)
    for cells in zip(*shown.values(), strict=True):
        table.add_row(*map(escape, cells))
    return table


def _length(run: PlannedRun) -> str:
    if run.steps is not None:
        return counted(run.steps, "step")
    return "" if run.epochs is None else counted(run.epochs, "epoch")


def earlier_in(folder: Path) -> list[Path]:
    """Where earlier records of the same training may be: in the folder, and beside it."""
    return [folder, folder.parent, DEFAULT_PARENT]


def _notes_of_run(request: RunRequest, done: int) -> list[str]:
    notes = []
    if done:
        notes.append(f"{counted(done, 'run')} completed before and kept")
    if request.requirements:
        notes.append("First, environments are made for --with, if there are none")
    if request.localizes:
        limit = "" if request.localize else ", if that is short"
        notes.append(
            f"Each pair that differs is trained again up to its first divergence{limit}; this is "
            "not counted"
        )
    return notes


def _library_sets(request: RunRequest) -> list[str]:
    """Names of the sets of libraries; no environment is made."""
    if request.requirements:
        if request.reuses_out:
            rule = "a dry run makes no environment, so completed runs cannot be told"
            raise SpecError(rule, "--with and a folder to continue", "omit --dry-run")
        for text in request.requirements:
            parse(text, request.direct_references)
        alone = ["the current libraries"] if len(request.requirements) == 1 else []
        return [*alone, *request.requirements]
    if request.interpreters:
        return [found.name for found in find_library_sets(request, lambda _text: None)]
    return []
