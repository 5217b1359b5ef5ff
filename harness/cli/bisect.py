"""`harness bisect`: the first release of a library that trains differently."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.benchmark.bench import progress
from harness.cli.completion import complete_cases
from harness.cli.options import (
    COMPARE,
    ConventionsOption,
    DeviceOption,
    EnvironmentsOption,
    JsonOption,
    LoopsOption,
    OutOption,
    QuietOption,
    SettingsOption,
    TimeoutOption,
    VerboseOption,
)
from harness.cli.shared import command_line, progress_console, request_from, show, view_of
from harness.diagnosis.bisect import BisectRequest, bisect
from harness.execution.environments.releases import released
from harness.execution.environments.requirements import requirement
from harness.spec.request import DEFAULT_CASE, TIMEOUT_S

__all__ = ["bisect_command"]

_LARGE = ("torch",)


def bisect_command(
    case: Annotated[
        str,
        typer.Argument(
            metavar="[CASE|case.toml]",
            help="The name of a case, or a case file.",
            autocompletion=complete_cases,
        ),
    ] = DEFAULT_CASE,
    package: Annotated[
        str, typer.Option(help="The library whose releases are tried.", rich_help_panel=COMPARE)
    ] = "transformers",
    good: Annotated[
        str,
        typer.Option(
            metavar="VERSION", help="The reference: a released version.", rich_help_panel=COMPARE
        ),
    ] = ...,  # type: ignore[assignment]  # typer's way to mark a required option
    bad: Annotated[
        str,
        typer.Option(
            metavar="VERSION", help="A release that trains differently.", rich_help_panel=COMPARE
        ),
    ] = ...,  # type: ignore[assignment]  # as above
    loops: LoopsOption = "trainer",
    conventions: ConventionsOption = "matched",
    settings: SettingsOption = None,
    device: DeviceOption = None,
    environments: EnvironmentsOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
    out: OutOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Find the first release of a library that trains differently, bit for bit, where and why.

    Both ends are trained first, then about log2 of the releases between them. Pre-releases, yanked
    releases and those for another Python are left out. A release that cannot be installed or run is
    skipped and named. A difference in one of the loops is enough. The search assumes one change.
    Started again with the same --out, it trains nothing twice. Exit code 1: found; 0: the ends are
    the same; 4: not known.

    Example: harness bisect --good 4.57.1 --bad 5.23.0 --set max_steps=20
    """
    view = view_of(verbose, quiet, as_json)
    request = request_from([case], loops, settings, conventions=conventions, device=device)
    name = requirement(package).name
    bisection = BisectRequest(
        request.base_cases[0],
        list(request.loops),
        request.conventions,
        name,
        good,
        bad,
        environments,
        timeout,
    )
    console = progress_console(view)
    if name in _LARGE:
        console.print(f"each release of {name} is a large download, and is kept", style="yellow")
    with progress(console) as show_progress:
        report, folder = bisect(
            bisection, released(name), out, command_line(), console, show_progress
        )
    return show(report, folder, view)
