"""`harness bisect`: which release of a library is the first that trains otherwise?"""

from __future__ import annotations

from typing import Annotated, cast, get_args

import typer
from rich.console import Console

from harness.benchmark.bench import progress
from harness.cli.shared import EnvironmentsOption, OutOption, command_line, settings_from, show
from harness.diagnosis.bisect import BisectRequest, bisect
from harness.errors import unknown_name
from harness.execution.environments.releases import released
from harness.execution.environments.requirements import requirement
from harness.execution.parent.runner import TIMEOUT_S
from harness.spec import registry as catalogue
from harness.spec.recipe import DEVICES, Conventions

__all__ = ["bisect_command"]

_LARGE = ("torch",)


def bisect_command(
    case: Annotated[
        str, typer.Argument(metavar="[CASE|case.toml]", help="Default: paraphrase.")
    ] = "paraphrase",
    package: Annotated[str, typer.Option(help="Whose releases are walked.")] = "transformers",
    good: Annotated[
        str, typer.Option(metavar="VERSION", help="The reference: a released version.")
    ] = ...,  # type: ignore[assignment]  # typer's word for an option that must be given
    bad: Annotated[
        str, typer.Option(metavar="VERSION", help="The one that trains otherwise.")
    ] = ...,  # type: ignore[assignment]  # as above
    loops: Annotated[
        str, typer.Option(help="Loops, or paths of your own; one that differs is enough.")
    ] = "trainer",
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
    environments: EnvironmentsOption = None,
    timeout: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="End a run that takes no step for so long."),
    ] = TIMEOUT_S,
    out: OutOption = None,
) -> int:
    """Which release is the first that trains otherwise, bit for bit, where, and why?

    Both ends are trained with first, then about log2 of the releases between; pre-releases, and
    those that were yanked or are not for this Python, are left out. What cannot be installed or run
    is passed over and named. Started again with the same --out, nothing is trained twice. It is
    assumed that there is one change. Exit code 1: found; 0: the ends are the same; 4: not known.

    Example: harness bisect --good 4.57.1 --bad 5.23.0 --set max_steps=20
    """
    if conventions not in get_args(Conventions):
        raise unknown_name("conventions", conventions, get_args(Conventions))
    if device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    name = requirement(package).name
    chosen = catalogue.with_settings(catalogue.case(case), settings_from(settings))
    asked = BisectRequest(
        chosen.model_copy(update={"device": device}),
        [loop.strip() for loop in loops.split(",") if loop.strip()],
        cast(Conventions, conventions),
        name,
        good,
        bad,
        environments,
        timeout,
    )
    console = Console(stderr=True)
    if name in _LARGE:
        console.print(f"each release of {name} is a large download, and is kept", style="yellow")
    with progress(console) as say:
        report, folder = bisect(asked, released(name), out, command_line(), console, say)
    return show(report, folder)
