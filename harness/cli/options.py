"""Options that several commands share, with the panel of `--help` in which each stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.completion import (
    complete_cases,
    complete_conventions,
    complete_details,
    complete_device,
    complete_loops,
    complete_settings,
)
from harness.spec.recipe import DETAILS, DEVICES
from harness.spec.request import DEFAULT_LOOPS

__all__ = [
    "COMPARE",
    "CONTINUE",
    "LOOPS",
    "MEASURE",
    "OUTPUT",
    "RECORD",
    "TRAIN",
    "WHERE",
    "CasesArgument",
    "ConventionsOption",
    "DetailOption",
    "DeviceOption",
    "DigOption",
    "DigestsOption",
    "DirectOption",
    "EnvironmentsOption",
    "JobsOption",
    "JsonOption",
    "LocalizeOption",
    "LoopsOption",
    "MarginOption",
    "OutOption",
    "PythonOption",
    "QuietOption",
    "ResumeOption",
    "SettingsOption",
    "SpeedMarginOption",
    "TimeoutOption",
    "VerboseOption",
    "WithOption",
]

TRAIN = "What to train"
WHERE = "Where to train"
RECORD = "What to record"
MEASURE = "How to measure"
COMPARE = "What to compare"
CONTINUE = "Stop and continue"
OUTPUT = "Output"
LOOPS = ",".join(DEFAULT_LOOPS)

CasesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CASE|case.toml|task.py]...",
        help="Names of cases, case files, or files with a task of your own. Default: paraphrase.",
        show_default=False,
        autocompletion=complete_cases,
    ),
]
LoopsOption = Annotated[
    str,
    typer.Option(
        metavar="LOOP,...",
        help="Names of loops, or paths of your own. The first is the reference.",
        rich_help_panel=TRAIN,
        autocompletion=complete_loops,
    ),
]
ConventionsOption = Annotated[
    str,
    typer.Option(
        metavar="matched|native",
        help="matched: every loop follows one recipe. native: each loop keeps the habits of its "
        "framework.",
        rich_help_panel=TRAIN,
        autocompletion=complete_conventions,
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a recipe field or a workload option. Repeat it for more. `harness list -v` "
        "shows the fields.",
        rich_help_panel=TRAIN,
        autocompletion=complete_settings,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE",
        help=f"One of {', '.join(DEVICES)}. Default: the device of the case, which is cpu unless "
        "its file names another.",
        rich_help_panel=WHERE,
        autocompletion=complete_device,
    ),
]
PythonOption = Annotated[
    list[str] | None,
    typer.Option(
        "--python",
        metavar="PATH",
        help="Train each loop with the libraries of this interpreter. Repeat it for more. The "
        "first is the reference. With a single one, the current environment is the reference.",
        rich_help_panel=WHERE,
    ),
]
WithOption = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="REQUIREMENT,...",
        help="The same with an environment that is made for it, such as 'transformers==4.57.*'. "
        "Repeat it for more. The environment is kept and holds only what differs from this one.",
        rich_help_panel=WHERE,
    ),
]
EnvironmentsOption = Annotated[
    Path | None,
    typer.Option(
        "--environments",
        metavar="DIR",
        help="Folder that keeps such environments. Default: $HARNESS_CACHE, or the user's cache.",
        rich_help_panel=WHERE,
    ),
]
DirectOption = Annotated[
    bool,
    typer.Option(
        "--direct-references",
        help="Allow --with 'NAME @ URL', which installs code from outside the package index.",
        rich_help_panel=WHERE,
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Runs at a time. Default: as many as there are cores for.",
        rich_help_panel=WHERE,
    ),
]
DigestsOption = Annotated[
    str | None,
    typer.Option(
        metavar="host|device",
        help="Where tensors are digested. Default: where they are trained. Only records with "
        "the same digests can be compared. With device, processes that hold shares of tensors send "
        "nothing, and their record can be compared with that of any other layout.",
        rich_help_panel=RECORD,
    ),
]
DetailOption = Annotated[
    str,
    typer.Option(
        metavar="|".join(DETAILS),
        help="How much a trace records. steps: batches, random generators, losses and learning "
        "rates. weights: also gradients and weights. full: also the optimizer state.",
        rich_help_panel=RECORD,
        autocompletion=complete_details,
    ),
]
MarginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--margin",
        metavar="METRIC=VALUE",
        help="With several seeds: the largest difference of a final metric that does not matter, "
        "such as accuracy=0.02 or perplexity=5%. Repeat it for more.",
        rich_help_panel=COMPARE,
    ),
]
LocalizeOption = Annotated[
    bool | None,
    typer.Option(
        "--localize/--no-localize",
        help="Run each pair that differs again, up to its first divergence. Name the first "
        "operation that makes a difference, its line of code in both runs, and its module.",
        rich_help_panel=COMPARE,
        show_default=False,
    ),
]
DigOption = Annotated[
    bool, typer.Option("--dig", hidden=True, help="The name of --localize before 0.2.0.")
]
SpeedMarginOption = Annotated[
    str,
    typer.Option(
        "--margin",
        metavar="SHARE",
        help="The largest difference of speed that does not matter, such as 0.02 or 2%.",
        rich_help_panel=COMPARE,
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="End a run that reports no step for this long. Evaluation and compilation count.",
        rich_help_panel=CONTINUE,
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue in the folder --out, in which the same command was stopped. Completed "
        "runs stay.",
        rich_help_panel=CONTINUE,
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Print every section of the report, not only the conclusions and causes.",
        rich_help_panel=OUTPUT,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print only the conclusions, and no progress.",
        rich_help_panel=OUTPUT,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print report.json instead of text, for programs.",
        rich_help_panel=OUTPUT,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for the results. Default: a new one in reports/.",
        rich_help_panel=OUTPUT,
    ),
]
