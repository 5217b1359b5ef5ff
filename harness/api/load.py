"""`harness.load(folder)`: a record whose traces are pandas DataFrames.

pandas is imported when the first DataFrame is made.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import RecordError, SpecError
from harness.results import frames
from harness.results.folders import records_in
from harness.results.record import HEADER, Header, RunRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Kept", "Record", "Source", "folder_of", "load"]


class Kept(Protocol):
    """Something that was left in a folder: a record, a report, or what `harness.trace` returns."""

    @property
    def folder(self) -> Path | None: ...


Source = str | os.PathLike[str] | Kept
"""A folder, or something that was left in one."""


class Record:
    """What one training left behind, with its traces as DataFrames."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record

    @property
    def folder(self) -> Path:
        """The folder of the record."""
        return self._record.folder

    @property
    def name(self) -> str:
        """The name of the run: its loop, or the name of what was traced."""
        return self._record.spec.run_label

    @property
    def status(self) -> str:
        """`completed`, `stopped`, `failed`, `interrupted` or `not run`."""
        return self.header.status

    @property
    def header(self) -> Header:
        """Everything except the traces: counts, evaluations, environment, settings."""
        return self._record.header

    @property
    def settings(self) -> dict[str, Any]:
        """The settings before the first step, by name."""
        return self.header.settings

    @property
    def environment(self) -> dict[str, Any]:
        """Machine and versions."""
        return self.header.environment

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row for each update: losses, learning rates, gradient norm and evaluations."""
        return frames.curves(self._record)

    @cached_property
    def micro_batches(self) -> pd.DataFrame:
        """One row for each backward pass: rows, batch, random generators and losses."""
        return frames.micro_batches(self._record)

    @cached_property
    def tensors(self) -> pd.DataFrame:
        """One row for each parameter and step: digests of gradient, weight and optimizer state."""
        return frames.tensors(self._record)

    @cached_property
    def norms(self) -> pd.DataFrame:
        """One row for each parameter and step: norms of the gradient; at step 0 of the weight."""
        return frames.norms(self._record)

    def __repr__(self) -> str:
        """Name, number of updates, status and folder."""
        count = f"{self.header.steps} update{'' if self.header.steps == 1 else 's'}"
        return f"<Record {self.name}: {count}, {self.status}, in {self.folder}>"


def load(source: Source) -> Record:
    """The record in a folder: that of a traced program, or the only one of an output folder.

    Raises `SpecError` if there is no such folder or if it holds several records, and `RecordError`
    if a record is damaged.
    """
    folder = folder_of(source)
    if (folder / HEADER).is_file():
        return Record(RunRecord(folder))
    found = list(records_in(folder).values())
    if len(found) != 1:
        names = ", ".join(str(record.folder) for record in found) or "none"
        raise SpecError(
            "harness.load takes the folder of one record",
            f"{len(found)} in {folder}",
            f"pass one of them: {names}" if found else "pass another folder",
        )
    return Record(found[0])


def folder_of(source: Source) -> Path:
    """The folder of a source. Raises `SpecError` or `RecordError` if it is none or has none."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source)
    folder = getattr(source, "folder", ...)
    if folder is None:
        raise RecordError(
            "a comparison reads the files of a run", "a report without a folder", "pass its folder"
        )
    if not isinstance(folder, Path):
        raise SpecError(
            "a run is a folder, a record or a report",
            f"a value of type {type(source).__name__}",
            "pass the folder",
        )
    return folder
