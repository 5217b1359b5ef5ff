"""`harness check`: whether training is still as it was accepted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.benchmark.sessions import BenchRequest
from harness.cli.commands_after import commands_of
from harness.cli.dry_run import DryRunOption, show_plan
from harness.cli.dry_run_of_speeds import plan_of_check
from harness.cli.options import (
    COMPARE,
    CONTINUE,
    LOOPS,
    MEASURE,
    WHERE,
    CasesArgument,
    ConventionsOption,
    DeviceOption,
    JsonOption,
    LoopsOption,
    OutOption,
    QuietOption,
    SettingsOption,
    SpeedMarginOption,
    VerboseOption,
)
from harness.cli.shared import command_line, progress_console, request_from, show, view_of
from harness.errors import SpecError
from harness.regression.against import AgainstRequest, check_against
from harness.regression.baseline import cases_in
from harness.regression.check import CheckRequest, check_cases
from harness.regression.compare_speeds import Tolerance
from harness.results.metrics import Margin

__all__ = ["check_command", "run_words"]


def check_command(
    context: typer.Context,
    cases: CasesArgument = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE_OR_DIR",
            help="The folder that harness accept wrote, or one file of it.",
            rich_help_panel=COMPARE,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="GIT_REF",
            help="Compare the working tree with this commit, branch or tag, without a baseline. "
            "Both train, and are compared value by value. The command to train stands after --; "
            "without one, the cases are run.",
            rich_help_panel=COMPARE,
        ),
    ] = None,
    install: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="With --against: install the repository at that commit in an environment of its "
            'own, such as "pip install -e .". Default: its folder comes first on the path.',
            rich_help_panel=WHERE,
        ),
    ] = None,
    stop_after: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEP",
            help="With --against and a command: compare the values up to this step only.",
            rich_help_panel=COMPARE,
        ),
    ] = None,
    loops: LoopsOption = LOOPS,
    conventions: ConventionsOption = "matched",
    settings: SettingsOption = None,
    device: DeviceOption = None,
    exact_only: Annotated[
        bool,
        typer.Option(
            "--exact-only",
            help="Check only exact facts and memory, in seconds, and no speeds.",
            rich_help_panel=MEASURE,
        ),
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Wall time of the whole command, 300 by default. It takes less if the intervals "
            "are soon narrow. With --against: wall time for the speeds, which are compared only if "
            "it is given.",
            rich_help_panel=MEASURE,
        ),
    ] = None,
    margin: SpeedMarginOption = "2%",
    visible: Annotated[
        str,
        typer.Option(
            metavar="SHARE",
            help="A slowdown that must be noticed. If it cannot be excluded, there is no verdict.",
            rich_help_panel=COMPARE,
        ),
    ] = "10%",
    timeout: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="End the check if a loop takes longer for one turn.",
            rich_help_panel=CONTINUE,
        ),
    ] = CheckRequest.timeout_s,
    dry_run: DryRunOption = False,
    out: OutOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Check whether training is still as it was accepted: exact facts, memory, then speeds.

    All loops of the baseline are expected: one that --loops omits is missing. Exit codes:
    0 still as accepted; 1 something regressed; 2 wrong use; 3 a run failed; 4 not known.

    Example: harness check paraphrase --baseline baselines --budget 120

    Example: harness check --against main --budget 180 -- python train.py
    """
    view = view_of(verbose, quiet, as_json)
    command = commands_of(context)
    if against is not None:
        if dry_run:
            rule = "a dry run shows a check with --baseline"
            raise SpecError(rule, f"--against {against}", "omit --dry-run")
        asked = AgainstRequest(
            reference=against,
            install=install,
            command=_single(command),
            run=() if command else run_words(cases, loops, conventions, settings, device),
            stop_after=stop_after,
            speeds=None
            if budget is None
            else BenchRequest(budget, margin=Margin.parse(margin).value, timeout_s=timeout),
        )
        _check_against_alone(asked, baseline, exact_only)
        done = check_against(asked, out, command_line(), progress_console(view))
        return show(*done, view)
    if baseline is None or install is not None or stop_after is not None:
        rule = "a check compares with --baseline DIR, or with a commit by --against GIT_REF"
        given = "neither" if baseline is None else "--install or --stop-after"
        raise SpecError(rule, given, "add one")
    request = request_from(cases, loops, settings, conventions=conventions, device=device)
    tolerance = Tolerance(Margin.parse(margin).value, Margin.parse(visible).value)
    if tolerance.visible <= tolerance.margin:
        rule = "--visible is more than --margin"
        raise SpecError(rule, f"{visible} and {margin}", "change one of them")
    cases_in(baseline)  # refuses what is no baseline before anything is run
    if len(request.loops) < 2 and not exact_only:
        rule = "speeds are ratios of two loops"
        raise SpecError(rule, f"only {loops}", "add another to --loops, or --exact-only")
    check = CheckRequest(
        baseline=baseline,
        loops=list(request.loops),
        conventions=request.conventions,
        budget_s=CheckRequest.budget_s if budget is None else budget,
        tolerance=tolerance,
        exact_only=exact_only,
        timeout_s=timeout,
    )
    if dry_run:
        return show_plan(plan_of_check(request.base_cases, request.loops, check, out), view)
    report, folder = check_cases(
        request.base_cases, check, out, command_line(), progress_console(view)
    )
    return show(report, folder, view)


def _single(commands: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The words of the only command; empty if there is none."""
    if len(commands) > 1:
        rule = "--against compares one command with itself"
        raise SpecError(rule, f"{len(commands)} commands", "time several with harness bench")
    return tuple(commands[0]) if commands else ()


def run_words(
    cases: Sequence[str] | None,
    loops: str,
    conventions: str,
    settings: Sequence[str] | None,
    device: str | None,
) -> tuple[str, ...]:
    """The words after `harness run` that train the same; each commit reads its own files."""
    words = ["--loops", loops, "--conventions", conventions, "--no-localize"]
    words += [word for pair in settings or () for word in ("--set", pair)]
    words += [] if device is None else ["--device", device]
    return (*words, "--", *(cases or ()))


def _check_against_alone(asked: AgainstRequest, baseline: Path | None, exact_only: bool) -> None:
    """Raise `SpecError` for what does not go together with --against."""
    if baseline is not None or exact_only:
        given = "--baseline" if baseline is not None else "--exact-only"
        raise SpecError("--against needs no baseline", f"{given} as well", "leave one out")
    if not asked.command and (asked.speeds is not None or asked.stop_after is not None):
        rule = "--against compares the speed or the first steps of a command"
        raise SpecError(rule, "no command", "write -- COMMAND, or leave the option out")
