"""`harness upgrade`: what did other versions of the libraries change in my training?"""

from __future__ import annotations

from typing import Annotated, cast, get_args

import typer
from rich.console import Console

from harness.benchmark.bench_case import BenchRequest
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
from harness.execution.parent.runner import TIMEOUT_S
from harness.regression.upgrade import UpgradeRequest, upgrade_cases
from harness.results.metrics import Margin
from harness.spec import registry as catalogue
from harness.spec.recipe import DETAILS, DEVICES, Conventions

__all__ = ["upgrade_command"]


def upgrade_command(
    cases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CASE|case.toml]...", help="Default: paraphrase.", show_default=False
        ),
    ] = None,
    python: PythonOption = None,
    requirements: WithOption = None,
    environments: EnvironmentsOption = None,
    direct_references: DirectOption = False,
    loops: Annotated[
        str,
        typer.Option(help="Loops, or paths of your own; each is compared with itself."),
    ] = "plain,accelerated,trainer",
    device: Annotated[str, typer.Option(help=f"One of: {', '.join(DEVICES)}.")] = "cpu",
    conventions: Annotated[
        str,
        typer.Option(
            help="matched: every loop follows one recipe; native: its framework's habits, which "
            "are what an upgrade of it may change."
        ),
    ] = "matched",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A recipe field or workload option; repeat."
        ),
    ] = None,
    detail: Annotated[
        str, typer.Option(help="How much a trace holds: steps, weights or full.")
    ] = "full",
    budget: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Wall time of the speeds, after the traces; 0: no speeds.",
        ),
    ] = BenchRequest.budget_s,
    margin: Annotated[
        str,
        typer.Option(
            metavar="SHARE", help="The difference of speed that does not matter, as 0.02 or 2%."
        ),
    ] = "2%",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Traced runs at a time; default: as many as have a core."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="End a run that takes no step for so long."),
    ] = TIMEOUT_S,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on in the folder --out, where the same command was stopped."
        ),
    ] = False,
    out: OutOption = None,
) -> int:
    """What did this upgrade change in my training, and what not: values, settings, metrics, speed.

    Trains the whole case by each loop with each set of libraries and compares each loop with
    itself, value by value; then lets the two take turns and compares their speeds.

    Example: harness upgrade --with "transformers==4.57.*" --budget 300
    """
    if conventions not in get_args(Conventions):
        raise unknown_name("conventions", conventions, get_args(Conventions))
    if device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    if detail not in DETAILS:
        raise unknown_name("detail", detail, DETAILS)
    if resume and out is None:
        raise SpecError("--resume goes on in a folder", "none", "pass it by --out")
    chosen = [
        catalogue.with_settings(catalogue.case(name), settings_from(settings)).model_copy(
            update={"device": device}
        )
        for name in cases or ["paraphrase"]
    ]
    tolerated = Margin.parse(margin).value
    asked = UpgradeRequest(
        chosen,
        [name.strip() for name in loops.split(",") if name.strip()],
        cast(Conventions, conventions),
        sides_from(python, requirements, direct_references, environments),
        detail,
    )
    speeds = BenchRequest(budget_s=budget, margin=tolerated, beside="nothing") if budget else None
    console = Console(stderr=True)
    report, folder = upgrade_cases(
        asked, speeds, jobs, timeout, resume, out, command_line(), console
    )
    return show(report, folder)
