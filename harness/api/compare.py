"""`harness.compare(a, b)`: the command `harness compare`, from Python or a notebook."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from harness.api.load import Source, folder_of
from harness.api.shown import ShownReport, shown
from harness.comparison.compare_folders import compare_folders
from harness.diagnosis.localize import localize_report
from harness.results.metrics import parse_margins

__all__ = ["compare"]


def compare(
    reference: Source,
    candidate: Source,
    out: str | os.PathLike[str] | None = None,
    *,
    rename: Mapping[str, str] | None = None,
    noise: Source | None = None,
    margins: Mapping[str, float | str] | None = None,
    localize: bool = False,
) -> ShownReport:
    """Compare two trainings value by value, and return the report.

    `reference`, `candidate`: a folder, a record, a report, or what `harness.trace` returned; also
    the log of a run that was not traced. `rename`: prefixes of parameter names in the candidate,
    and what replaces them. `noise`: a run with draws, for its noise band. `margins`:
    by final metric, for several seeds. `localize`: search for the first differing module. `out`: a
    new folder; None: one in `reports/`.

    Raises `SpecError` or `RecordError` if there is nothing that can be compared.
    """
    folders = folder_of(reference), folder_of(candidate)
    noisy = None if noise is None else folder_of(noise)
    tolerated, renames = parse_margins(margins or {}), list((rename or {}).items())
    words = ["harness", "compare", *map(str, folders)]
    for option, pairs in (("--margin", margins or {}), ("--rename", dict(renames))):
        words += [word for key, value in pairs.items() for word in (option, f"{key}={value}")]
    words += ["--noise", str(noisy)] if noisy is not None else []
    words += ["--localize"] if localize else []
    words += ["--out", str(out)] if out is not None else []
    target = None if out is None else Path(out)
    report, folder = compare_folders(*folders, target, words, tolerated, noisy, renames)
    if localize:
        report = localize_report(report, folder, None, Console(quiet=True))
    return shown(report, folder)
