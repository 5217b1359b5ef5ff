"""`harness bench`: which loop is faster, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast, get_args

import typer

from harness.benchmark.arms import Arm, arms_of, arms_with_libraries
from harness.benchmark.bench import bench_cases, check_arms
from harness.benchmark.bench_commands import bench_commands
from harness.benchmark.commands import command_arms
from harness.benchmark.sessions import BenchRequest, Beside
from harness.benchmark.verdicts import LEAST_SESSIONS
from harness.cli.commands_after import check_no_single_command, commands_of
from harness.cli.dry_run import DryRunOption, show_plan
from harness.cli.dry_run_of_speeds import plan_of_arms, plan_of_commands
from harness.cli.options import (
    CONTINUE,
    LOOPS,
    MEASURE,
    TRAIN,
    CasesArgument,
    ConventionsOption,
    DeviceOption,
    DirectOption,
    EnvironmentsOption,
    JsonOption,
    LoopsOption,
    OutOption,
    PythonOption,
    QuietOption,
    ResumeOption,
    SettingsOption,
    SpeedMarginOption,
    VerboseOption,
    WithOption,
)
from harness.cli.shared import (
    command_line,
    library_sets_of,
    progress_console,
    request_from,
    show,
    view_of,
)
from harness.errors import SpecError, check_known
from harness.results.metrics import Margin
from harness.spec.request import RunRequest

__all__ = ["bench_command"]


def bench_command(
    context: typer.Context,
    cases: CasesArgument = None,
    loops: LoopsOption = LOOPS,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            metavar="NAME=LOOP,FIELD=VALUE,...",
            help="A further arm: a loop with changed recipe fields. Also: recipe=fast (bf16, "
            "compiled, length-grouped, batch 32), observe=timing or trace, "
            "detail=steps|weights|full, python=PATH. Repeat it for more.",
            rich_help_panel=TRAIN,
        ),
    ] = None,
    conventions: ConventionsOption = "matched",
    settings: SettingsOption = None,
    device: DeviceOption = None,
    python: PythonOption = None,
    requirements: WithOption = None,
    environments: EnvironmentsOption = None,
    direct_references: DirectOption = False,
    budget: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Wall time of the whole command.",
            rich_help_panel=MEASURE,
        ),
    ] = BenchRequest.budget_s,
    sessions: Annotated[
        int | None,
        typer.Option(
            min=LEAST_SESSIONS,
            help="Exactly this many sessions, within the budget. Default: until the intervals are "
            "narrow.",
            rich_help_panel=MEASURE,
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Turns of each arm in a session. Default: what the budget allows.",
            rich_help_panel=MEASURE,
        ),
    ] = None,
    beside: Annotated[
        str,
        typer.Option(
            metavar="all|equality|nothing",
            help="What is measured besides speed. all: whether the arms compute the same, and "
            "in the time that is left memory, profile and operations. equality: only whether they "
            "compute the same.",
            rich_help_panel=MEASURE,
        ),
    ] = BenchRequest.beside,
    passes: Annotated[
        bool,
        typer.Option(
            "--passes",
            help="Measure memory, profile and operations before the sessions. By default only if "
            "the sessions leave time.",
            rich_help_panel=MEASURE,
        ),
    ] = False,
    margin: SpeedMarginOption = "2%",
    timeout: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="End the bench if an arm takes longer for one turn.",
            rich_help_panel=CONTINUE,
        ),
    ] = BenchRequest.timeout_s,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    out: OutOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Measure how fast the loops are, and how sure that is. Live processes take turns.

    Evaluations and checkpoints are left out. A built-in workload is cut to its first 1024 training
    rows.

    After `--` come any two or more commands that train with torch. They run unchanged, and the
    steps of their optimizers take turns.

    Example: harness bench --loops plain,trainer --budget 120

    Example: harness bench --budget 180 -- python train.py -- python train.py --compile
    """
    view = view_of(verbose, quiet, as_json)
    commands = commands_of(context)
    check_no_single_command(
        context,
        "a bench of commands compares two or more, each after its own --",
        "write harness bench -- COMMAND_A -- COMMAND_B",
    )
    if commands:
        for_loops = {
            "a case": cases, "--loops": loops != LOOPS, "--arm": arms, "--set": settings,
            "--conventions": conventions != "matched", "--device": device, "--python": python,
            "--with": requirements, "--passes": passes,
        }  # fmt: skip
        _check_alone([name for name, given in for_loops.items() if given])
    check_known("value for --beside", beside, get_args(Beside))
    tolerated = Margin.parse(margin).value
    bench = BenchRequest(budget, sessions, rounds, tolerated, timeout, cast(Beside, beside), passes)
    if commands:
        if resume and out is None:
            raise SpecError("--resume continues in the folder --out", "none", "pass --out DIR")
        chosen = command_arms(commands)
        if dry_run:
            return show_plan(plan_of_commands(chosen, bench, out, resume), view)
        done = bench_commands(chosen, bench, out, command_line(), progress_console(view), resume)
        return show(*done, view)
    request = request_from(
        cases,
        loops,
        settings,
        conventions=conventions,
        device=device,
        interpreters=python or (),
        requirements=requirements or (),
        environments=environments,
        direct_references=direct_references,
        resume=resume,
        out=out,
    )
    if request.has_library_sets and arms:
        rule = "--python and --with time each loop beside itself"
        raise SpecError(rule, f"--arm {arms[0]}", "omit it, or write --arm NAME=LOOP,python=PATH")
    if dry_run and request.requirements:
        rule = "a dry run makes no environment, so arms with others are not known"
        raise SpecError(rule, f"--with {request.requirements[0]}", "omit --dry-run")
    planned = _arms_by_case(request, arms or ())
    check_arms(planned)
    if dry_run:
        return show_plan(plan_of_arms(planned, bench, out, resume), view)
    report, folder = bench_cases(
        planned, bench, out, command_line(), progress_console(view), resume
    )
    return show(report, folder, view)


def _arms_by_case(request: RunRequest, extra: Sequence[str]) -> dict[str, list[Arm]]:
    """The arms of each case. With sets of libraries, each loop is a case. Raises `SpecError`."""
    library_sets = library_sets_of(request)
    planned: dict[str, list[Arm]] = {}
    for case in request.base_cases:
        if not library_sets:
            planned[case.name] = arms_of(case, request.loops, request.conventions, extra)
            continue
        for loop in dict.fromkeys(request.loops):
            across = arms_with_libraries(case, loop, request.conventions, library_sets)
            planned[across[0].spec.case.name] = across
    return planned


def _check_alone(given: list[str]) -> None:
    """Raise `SpecError` if options of loops are given with commands."""
    if given:
        rule = "commands after -- train as they are"
        raise SpecError(rule, f"{', '.join(given)} as well", "write it into the commands")
