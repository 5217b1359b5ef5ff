"""`harness check`: whether training is still as it was accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    COMPARE,
    CONTINUE,
    LOOPS,
    MEASURE,
    CasesArgument,
    ConventionsOption,
    DeviceOption,
    LoopsOption,
    OutOption,
    SettingsOption,
    SpeedMarginOption,
)
from harness.cli.shared import command_line, progress_console, request_from, show
from harness.errors import SpecError
from harness.regression.baseline import cases_in
from harness.regression.check import CheckRequest, check_cases
from harness.regression.compare_speeds import Tolerance
from harness.results.metrics import Margin

__all__ = ["check_command"]


def check_command(
    baseline: Annotated[
        Path,
        typer.Option(
            metavar="FILE_OR_DIR",
            help="The folder that harness accept wrote, or one file of it.",
            rich_help_panel=COMPARE,
        ),
    ],
    cases: CasesArgument = None,
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
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Wall time of the whole command. It takes less if the intervals are soon narrow.",
            rich_help_panel=MEASURE,
        ),
    ] = CheckRequest.budget_s,
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
    out: OutOption = None,
) -> int:
    """Check whether training is still as it was accepted: exact facts, memory, then speeds.

    All loops of the baseline are expected: one that --loops omits is missing. Exit codes:
    0 still as accepted; 1 something regressed; 2 wrong use; 3 a run failed; 4 not known.

    Example: harness check paraphrase --baseline baselines --budget 120
    """
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
        budget_s=budget,
        tolerance=tolerance,
        exact_only=exact_only,
        timeout_s=timeout,
    )
    report, folder = check_cases(request.base_cases, check, out, command_line(), progress_console())
    return show(report, folder)
