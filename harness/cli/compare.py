"""`harness compare`: two records, or two output folders."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    COMPARE,
    DigOption,
    JsonOption,
    LocalizeOption,
    MarginOption,
    OutOption,
    QuietOption,
    VerboseOption,
)
from harness.cli.shared import (
    command_line,
    output_console,
    pairs_from,
    progress_console,
    show,
    view_of,
)
from harness.comparison.compare_folders import compare_folders
from harness.diagnosis.localize import can_be_localized, localize_report
from harness.report.text.facts import explaining
from harness.report.text.summary import without_out
from harness.results.comparison import Comparison
from harness.results.metrics import parse_margins

__all__ = ["compare_command"]


def compare_command(
    reference: Annotated[
        Path, typer.Argument(help="A record, the output folder of a run, or the log of an old run.")
    ],
    candidate: Annotated[Path, typer.Argument(help="What is compared with it.")],
    margin: MarginOption = None,
    noise: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN_DIR",
            help="Compare each pair that is not identical with the noise band that a run with "
            "--noise measured. Reference and candidate must have been made with --noise too.",
            rich_help_panel=COMPARE,
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Replace a prefix of the candidate's parameter names before the names of the two "
            "are matched. Can be repeated. Prefixes such as module. are found without it.",
            rich_help_panel=COMPARE,
        ),
    ] = None,
    localize: LocalizeOption = None,
    dig: DigOption = False,
    out: OutOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Compare two records, or two output folders pair by pair. Only --localize needs torch.

    Each may be the run of a loop or a traced command. Parameters are matched by name, whatever
    their prefix. Updates are compared as a whole if the two divide them differently.

    Either may be the log of a run that was not traced: a trainer_state.json, a TensorBoard log, or
    a CSV file with a column step. It is compared as far as it goes, and is never identical.

    Example: harness compare reports/BEFORE reports/AFTER

    Two commands: harness trace --out one -- python one.py, the same with two, then
    harness compare one two
    """
    view = view_of(verbose, quiet, as_json)
    margins = parse_margins(pairs_from(margin, "--margin", "METRIC=VALUE", "accuracy=0.02"))
    renames = pairs_from(rename, "--rename", "OLD=NEW", "encoder.=bert.encoder.")
    report, folder = compare_folders(
        reference, candidate, out, command_line(), margins, noise, tuple(renames.items())
    )
    if localize or dig:
        report = localize_report(report, folder, None, progress_console(view))
    code = show(report, folder, view)
    if (
        view in ("normal", "details")
        and localize is None
        and not dig
        and any(map(_is_helped, report.comparisons))
    ):
        again = shlex.join([*without_out(command_line()), "--localize"])
        hint = f"To run both again up to that step, and look for the line of code: {again}"
        output_console().print(hint, soft_wrap=True, highlight=False, markup=False)
    return code


def _is_helped(pair: Comparison) -> bool:
    """Whether --localize can add something: a line of code is not known yet."""
    known = any(fact.reference_site or fact.candidate_site for fact in explaining(pair))
    return can_be_localized(pair) and not known and not pair.different_models
