"""`harness explain`: which fields make two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.completion import complete_cases, complete_conventions, complete_loops
from harness.cli.options import (
    MEASURE,
    TRAIN,
    DeviceOption,
    JobsOption,
    JsonOption,
    OutOption,
    QuietOption,
    SettingsOption,
    TimeoutOption,
    VerboseOption,
)
from harness.cli.shared import command_line, progress_console, request_from, show, view_of
from harness.diagnosis.explain import explain_case, explain_folders
from harness.errors import SpecError
from harness.spec.request import TIMEOUT_S

__all__ = ["explain_command"]


def explain_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="CASE | REFERENCE CANDIDATE",
            help="A case or case file, whose loops are compared; or two records or run folders.",
            autocompletion=complete_cases,
        ),
    ],
    loops: Annotated[
        str | None,
        typer.Option(
            metavar="LOOP,...",
            help="Of a case: loops, or paths of your own. Each is explained against the first; of "
            "three loops, the one that differs from the other two. Default: plain,trainer.",
            rich_help_panel=TRAIN,
            autocompletion=complete_loops,
        ),
    ] = None,
    conventions: Annotated[
        str | None,
        typer.Option(
            metavar="matched|native",
            help="Of a case: native, the habits of each framework, or matched. Default: native.",
            rich_help_panel=TRAIN,
            autocompletion=complete_conventions,
        ),
    ] = None,
    settings: SettingsOption = None,
    device: DeviceOption = None,
    jobs: JobsOption = None,
    max_replays: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="The most replays of a pair, besides the runs to be explained and those that an "
            "earlier attempt left. If they do not suffice, the exit code is 4 and the report shows "
            "what is known by then.",
            rich_help_panel=MEASURE,
        ),
    ] = None,
    timeout: TimeoutOption = TIMEOUT_S,
    out: OutOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Find by experiment which fields make two runs differ, and how far each moves them.

    The candidate is replayed with some of its fields set to the values of the reference. The search
    ends with the smallest set of fields with which the two are identical, bit for bit. Started
    again with the same --out, it makes no replay twice.

    Example: harness explain paraphrase --set max_steps=12
    """
    view = view_of(verbose, quiet, as_json)
    console = progress_console(view)
    if len(runs) == 2:
        for option, value in (
            ("--loops", loops),
            ("--conventions", conventions),
            ("--device", device),
            ("--set", settings),
        ):
            if value is not None:
                rule = f"{option} applies to a case; two folders have their own"
                raise SpecError(rule, " ".join(runs), f"omit {option}")
        report, folder = explain_folders(
            Path(runs[0]), Path(runs[1]), max_replays, jobs, out, command_line(), console, timeout
        )
        return show(report, folder, view)
    if len(runs) != 1:
        raise SpecError("explain takes a case, or two folders", " ".join(runs), "pass one or two")
    request = request_from(
        runs,
        loops or "plain,trainer",
        settings,
        conventions=conventions or "native",
        device=device,
    )
    report, folder = explain_case(
        request.base_cases[0],
        list(request.loops),
        request.conventions,
        max_replays,
        jobs,
        out,
        command_line(),
        console,
        timeout,
    )
    return show(report, folder, view)
