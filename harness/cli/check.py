"""`harness check`: is it still as it was accepted?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.console import Console

from harness.cli.shared import OutOption, command_line, settings_from, show
from harness.errors import SpecError, unknown_name
from harness.regression.baseline import cases_in
from harness.regression.check import CheckRequest, check_cases
from harness.regression.compare_speeds import Tolerance
from harness.results.metrics import Margin
from harness.spec import registry as catalogue
from harness.spec.recipe import DEVICES, Conventions

__all__ = ["check_command"]


def check_command(
    baseline: Annotated[
        Path,
        typer.Option(
            metavar="FILE_OR_DIR", help="What harness accept wrote: its folder, or one file of it."
        ),
    ],
    cases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CASE|case.toml]...", help="Default: paraphrase.", show_default=False
        ),
    ] = None,
    loops: Annotated[
        str,
        typer.Option(
            help="Loops to check, or paths of your own; the first is the reference. Those of the "
            "baseline: one that is left out is missing."
        ),
    ] = "plain,accelerated,trainer",
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
    exact_only: Annotated[
        bool,
        typer.Option("--exact-only", help="Leave speeds out: facts and memory alone, in seconds."),
    ] = False,
    budget: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Wall time of everything; less where the intervals are soon narrow.",
        ),
    ] = CheckRequest.budget_s,
    margin: Annotated[
        str,
        typer.Option(
            metavar="SHARE", help="Called slower is what surely is so by more, as 0.02 or 2%."
        ),
    ] = "2%",
    visible: Annotated[
        str,
        typer.Option(
            metavar="SHARE",
            help="The slowdown that must not go unseen: where it is not ruled out there is no "
            "verdict.",
        ),
    ] = "10%",
    timeout: Annotated[
        float,
        typer.Option(
            min=1, metavar="SECONDS", help="A loop that takes longer for a turn is ended and named."
        ),
    ] = CheckRequest.timeout_s,
    out: OutOption = None,
) -> int:
    """Is training still as it was accepted? Exact facts, memory, then speeds, measured afresh.

    Exit codes: 0 it is; 1 something regressed; 4 that is not known; 3 a run failed; 2 wrong use.

    Example: harness check paraphrase --baseline baselines --budget 120
    """
    if conventions not in get_args(Conventions):
        raise unknown_name("conventions", conventions, get_args(Conventions))
    if device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    tolerance = Tolerance(Margin.parse(margin).value, Margin.parse(visible).value)
    if tolerance.visible <= tolerance.margin:
        rule = "--visible is more than --margin"
        raise SpecError(rule, f"{visible} and {margin}", "change one of them")
    cases_in(baseline)  # refuses, before anything is run, what is no baseline
    named = [name.strip() for name in loops.split(",") if name.strip()]
    if len(named) < 2 and not exact_only:
        rule = "speeds are ratios of two loops"
        raise SpecError(rule, f"only {loops}", "pass another by --loops, or --exact-only")
    chosen = [
        catalogue.with_settings(catalogue.case(name), settings_from(settings)).model_copy(
            update={"device": device}
        )
        for name in cases or ["paraphrase"]
    ]
    asked = CheckRequest(
        baseline=baseline,
        loops=named,
        conventions=cast(Conventions, conventions),
        budget_s=budget,
        tolerance=tolerance,
        exact_only=exact_only,
        timeout_s=timeout,
    )
    report, folder = check_cases(chosen, asked, out, command_line(), Console(stderr=True))
    return show(report, folder)
