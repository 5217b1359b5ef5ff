"""`harness explain`: which fields make two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from harness.cli.shared import OutOption, command_line, settings_from, show
from harness.diagnosis.explain import explain_case, explain_folders
from harness.errors import SpecError, unknown_name
from harness.execution.parent.runner import TIMEOUT_S
from harness.spec import registry as catalogue
from harness.spec.recipe import DEVICES, Conventions

__all__ = ["explain_command"]


def explain_command(
    asked: Annotated[
        list[str],
        typer.Argument(
            metavar="CASE | REFERENCE CANDIDATE",
            help="A case or case.toml, whose loops are compared; or two records or run folders.",
        ),
    ],
    loops: Annotated[
        str | None,
        typer.Option(
            help="Of a case: loops, or paths of your own; the others are explained against the "
            "first, or of three the odd one. Default: plain,trainer."
        ),
    ] = None,
    conventions: Annotated[
        str | None,
        typer.Option(
            help="Of a case: native, its frameworks' habits, or matched. Default: native."
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help=f"Of a case: one of {', '.join(DEVICES)}; default: cpu.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Of a case: a recipe field or option; repeat."
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEPS",
            help="The most training steps that the replays of a pair may take, besides the runs "
            "to be explained. What is known by then is told, with exit code 4.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; default: as many as have a core.")
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="End a run that takes no step for so long."),
    ] = TIMEOUT_S,
    out: OutOption = None,
) -> int:
    """Find by experiment which fields make two runs differ, and how far each moves them.

    The candidate is replayed with some of its fields switched to the reference's values, until the
    smallest set is found with which the two are identical, bit for bit. Started again with the
    same --out, it makes no replay twice.

    Example: harness explain mrpc --set data=FOLDER --set model=FOLDER --set max_steps=12
    """
    console = Console(stderr=True)
    if len(asked) == 2:
        for option, value in (
            ("--loops", loops),
            ("--conventions", conventions),
            ("--device", device),
            ("--set", settings),
        ):
            if value is not None:
                rule = f"{option} is for a case; two folders say it themselves"
                raise SpecError(rule, " ".join(asked), "leave it out")
        report, folder = explain_folders(
            Path(asked[0]), Path(asked[1]), budget, jobs, out, command_line(), console, timeout
        )
        return show(report, folder)
    if len(asked) != 1:
        raise SpecError("explain takes a case, or two folders", " ".join(asked), "pass one or two")
    chosen = conventions or "native"
    if chosen not in get_args(Conventions):
        raise unknown_name("conventions", chosen, get_args(Conventions))
    if device not in (None, *DEVICES):
        raise unknown_name("device", str(device), DEVICES)
    case = catalogue.with_settings(catalogue.case(asked[0]), settings_from(settings))
    if device is not None:
        case = case.model_copy(update={"device": device})
    report, folder = explain_case(
        case,
        [name.strip() for name in (loops or "plain,trainer").split(",") if name.strip()],
        chosen,  # type: ignore[arg-type]  # just checked against its values
        budget,
        jobs,
        out,
        command_line(),
        console,
        timeout,
    )
    return show(report, folder)
