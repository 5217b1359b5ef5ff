"""`harness bench`: which loop is faster, and how sure that is."""

from __future__ import annotations

from typing import Annotated, cast, get_args

import typer
from rich.console import Console

from harness.benchmark.arms import Arm, arms_of, arms_with_libraries
from harness.benchmark.bench import bench_cases
from harness.benchmark.bench_case import BenchRequest, Beside
from harness.benchmark.verdicts import LEAST_SESSIONS
from harness.cli.shared import (
    DirectOption,
    EnvironmentsOption,
    OutOption,
    PythonOption,
    WithOption,
    command_line,
    settings_from,
    show,
    sides_from,
)
from harness.errors import SpecError, unknown_name
from harness.results.metrics import Margin
from harness.spec import registry as catalogue
from harness.spec.recipe import DEVICES, Conventions

__all__ = ["bench_command"]


def bench_command(
    cases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CASE|case.toml]...", help="Default: paraphrase.", show_default=False
        ),
    ] = None,
    loops: Annotated[
        str,
        typer.Option(help="Loops to time, or paths of your own; the first is the reference."),
    ] = "plain,accelerated,trainer",
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            metavar="NAME=LOOP,FIELD=VALUE,...",
            help="A further arm: a loop with other fields of the recipe; with recipe=fast (bf16, "
            "compiled, length-grouped, batch 32); with observe=timing, observe=trace, "
            "detail=steps|weights|full; with python=PATH; repeat.",
        ),
    ] = None,
    python: PythonOption = None,
    requirements: WithOption = None,
    environments: EnvironmentsOption = None,
    direct_references: DirectOption = False,
    device: Annotated[str, typer.Option(help=f"One of: {', '.join(DEVICES)}.")] = "cpu",
    conventions: Annotated[
        str,
        typer.Option(
            help="matched: every loop follows one recipe; native: its framework's habits."
        ),
    ] = "matched",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A recipe field or workload option; repeat."
        ),
    ] = None,
    sessions: Annotated[
        int | None,
        typer.Option(
            min=LEAST_SESSIONS,
            help="Exactly so many, as far as the budget goes; default: until the intervals are "
            "narrow.",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Turns of each arm in a session; default: by the budget."),
    ] = None,
    budget: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wall time of everything.")
    ] = BenchRequest.budget_s,
    margin: Annotated[
        str,
        typer.Option(metavar="SHARE", help="The difference that does not matter, as 0.02 or 2%."),
    ] = "2%",
    timeout: Annotated[
        float,
        typer.Option(
            min=1, metavar="SECONDS", help="An arm that takes longer for a turn is ended and named."
        ),
    ] = BenchRequest.timeout_s,
    beside: Annotated[
        str,
        typer.Option(
            help="all: also look whether arms compute the same, and at their memory, profile and "
            "operations; equality: only at the first; nothing."
        ),
    ] = BenchRequest.beside,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on in the folder --out, where the same command was stopped."
        ),
    ] = False,
    out: OutOption = None,
) -> int:
    """How fast are loops beside each other, and how sure is that? Live processes take turns.

    Example: harness bench --loops plain,trainer --budget 120
    """
    if conventions not in get_args(Conventions):
        raise unknown_name("conventions", conventions, get_args(Conventions))
    if device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    if resume and out is None:
        raise SpecError("--resume goes on in a folder", "none", "pass it by --out")
    named = [name.strip() for name in loops.split(",") if name.strip()]
    if beside not in get_args(Beside):
        raise unknown_name("value for --beside", beside, get_args(Beside))
    elsewhere = bool(python or requirements)
    if elsewhere and arms:
        rule = "--python and --with time each loop beside itself"
        raise SpecError(rule, f"--arm {arms[0]}", "leave it out, or write --arm NAME=LOOP,python=")
    chosen = []
    for name in cases or ["paraphrase"]:
        case = catalogue.with_settings(catalogue.case(name), settings_from(settings))
        chosen.append(case.model_copy(update={"device": device}))
    sides = sides_from(python, requirements, direct_references, environments) if elsewhere else []
    planned: dict[str, list[Arm]] = {}
    followed = cast(Conventions, conventions)
    for case in chosen:
        for loop in dict.fromkeys(named) if sides else ():
            found = arms_with_libraries(case, loop, followed, sides)
            planned[found[0].spec.case.name] = found
        if not sides:
            planned[case.name] = arms_of(case, named, followed, arms or ())
    tolerated = Margin.parse(margin).value
    asked = BenchRequest(budget, sessions, rounds, tolerated, timeout, cast(Beside, beside))
    console = Console(stderr=True)
    report, folder = bench_cases(planned, asked, out, command_line(), console, resume)
    return show(report, folder)
