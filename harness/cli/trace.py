"""`harness trace`: any training command, unchanged, with a record of what it computes."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import OUTPUT, RECORD, DetailOption, DigestsOption, OutOption
from harness.cli.shared import command_line
from harness.comparison.noise.command_noise import check_draw
from harness.execution.command.draws import check_draws, draw
from harness.execution.command.program import find_program
from harness.execution.command.summary import no_training, summary_lines
from harness.execution.command.trace import trace
from harness.report.write import write
from harness.results.folders import output_folder
from harness.results.report import Report
from harness.spec.case import LEAST_DRAWS
from harness.spec.command import CommandSpec
from harness.spec.recipe import build

__all__ = ["CommandEnded", "trace_command"]


class CommandEnded(BaseException):
    """The traced command has ended; its exit code is that of the harness, whatever it means."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def trace_command(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND [ARGS]...",
            help="Any command that trains with torch, as you would type it.",
            show_default=False,
        ),
    ] = None,
    detail: DetailOption = "full",
    every: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Record gradients, weights and optimizer state only at step 1 and at each "
            "multiple of N.",
            rich_help_panel=RECORD,
        ),
    ] = 1,
    digests: DigestsOption = None,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Set what `harness run` sets: one thread and deterministic algorithms. By default "
            "nothing is set.",
            rich_help_panel=RECORD,
        ),
    ] = False,
    noise: Annotated[
        int | None,
        typer.Option(
            metavar="DRAWS",
            help="Run the command this many more times, with each weight moved by one unit in the "
            "last place before its training. They measure the noise band for `harness compare "
            "--noise`. The command repeats all that it does, such as writing files. At least "
            f"{LEAST_DRAWS}; 8 is a good number. 0: record only what a candidate needs.",
            rich_help_panel=RECORD,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the record. Default: that of the script.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    out: OutOption = None,
) -> int:
    """Run a training command, unchanged, and record every step that it makes.

    Nothing in the script is changed: output, exit code, signals and random numbers are those of the
    command alone. Compare two records with `harness compare`.

    Example: harness trace --out reports/mine -- python train.py --lr 3e-5

    Example: harness trace --detail steps -- torchrun --nproc-per-node 2 train.py

    Example: harness trace --every 100 --deterministic -- bash run.sh

    Example: harness trace --noise 8 --out one -- python one.py

    Trace another script with --noise 0 --out two, then: harness compare one two --noise one
    """
    words = command or []
    find_program(words)
    check_draws(noise, detail, every)
    spec = build(
        CommandSpec,
        {
            "name": _name_of(words) if name is None else name,
            "command": words,
            "folder": str(Path.cwd()),
            "detail": detail,
            "every": every,
            "digests": digests,
            "deterministic": deterministic,
            "sketch": noise is not None,
        },
    )
    with output_folder(out, spec.name) as folder:
        traced = trace(spec, folder)
        labelled = [(each.record.spec.run_label, each.record) for each in traced.recorded]
        notes = no_training(traced)
        if traced.recorded or traced.imported_torch:
            write(Report.of(labelled, [], folder, command_line(), notes=notes), folder)
    for line in summary_lines(traced, folder):
        _tell(line)
    if noise:
        drawn = draw(spec, traced, folder, noise, _tell, check_draw)
        _tell(drawn.sentence)
        if drawn.interrupted:
            raise KeyboardInterrupt
    raise CommandEnded(traced.end.exit_code)


def _tell(line: str) -> None:
    print(f"harness: {line}", file=sys.stderr, flush=True)  # noqa: T201  # the command line prints


def _name_of(words: list[str]) -> str:
    """A name from the script or the module of a command, or else from its program."""
    scripts = [word for word in words if re.search(r"\.(py|sh|ipynb)$", word)]
    modules = [after for word, after in itertools.pairwise(words) if word == "-m"]
    for found in (
        *(Path(script).stem for script in scripts[:1]),
        *modules[:1],
        Path(words[0]).name,
    ):
        name = re.sub(r"[^A-Za-z0-9._]+", "-", found).strip("._-")
        if name:
            return name
    return "command"
