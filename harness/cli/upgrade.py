"""`harness upgrade`: what other versions of the libraries changed in a training."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.benchmark.sessions import BenchRequest
from harness.cli.options import (
    LOOPS,
    MEASURE,
    CasesArgument,
    ConventionsOption,
    DetailOption,
    DeviceOption,
    DirectOption,
    EnvironmentsOption,
    JobsOption,
    JsonOption,
    LoopsOption,
    OutOption,
    PythonOption,
    QuietOption,
    ResumeOption,
    SettingsOption,
    SpeedMarginOption,
    TimeoutOption,
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
from harness.errors import SpecError
from harness.regression.upgrade import upgrade_cases
from harness.results.metrics import Margin
from harness.spec.request import TIMEOUT_S

__all__ = ["upgrade_command"]


def upgrade_command(
    cases: CasesArgument = None,
    loops: LoopsOption = LOOPS,
    conventions: ConventionsOption = "matched",
    settings: SettingsOption = None,
    device: DeviceOption = None,
    python: PythonOption = None,
    requirements: WithOption = None,
    environments: EnvironmentsOption = None,
    direct_references: DirectOption = False,
    jobs: JobsOption = None,
    detail: DetailOption = "full",
    budget: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Wall time for the speeds, after the traces. 0: no speeds.",
            rich_help_panel=MEASURE,
        ),
    ] = BenchRequest.budget_s,
    margin: SpeedMarginOption = "2%",
    timeout: TimeoutOption = TIMEOUT_S,
    resume: ResumeOption = False,
    out: OutOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Show what an upgrade changed in a training: values, settings, metrics and speed.

    Each loop trains the whole case with each set of libraries and is compared with itself, value by
    value. Then the sets take turns and their speeds are compared. With --conventions native the
    loops keep the habits of their frameworks, which an upgrade may change.

    Example: harness upgrade --with "transformers==4.57.*" --budget 300
    """
    view = view_of(verbose, quiet, as_json)
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
        jobs=jobs,
        detail=detail,
        timeout_s=timeout,
        resume=resume,
        out=out,
    )
    if not request.has_library_sets:
        raise SpecError(
            "an upgrade is between two sets of libraries",
            "neither --python nor --with",
            "write for example --with transformers==4.57.*",
        )
    tolerated = Margin.parse(margin).value
    speeds = BenchRequest(budget_s=budget, margin=tolerated, beside="nothing") if budget else None
    library_sets = library_sets_of(request)
    console = progress_console(view)
    report, folder = upgrade_cases(request, library_sets, speeds, command_line(), console)
    return show(report, folder, view)
