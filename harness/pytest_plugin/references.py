"""`TestReference`: the record that a test keeps in the folder `references` beside its file.

It is written only on request, and a small file beside it states the machine and the versions that
made it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.api.assertions import FACTS
from harness.api.load import Record, Source, load
from harness.comparison.compare import compare
from harness.errors import RecordError
from harness.pytest_plugin.names import folder_name
from harness.report.text.summary import sentence
from harness.results.record import HEADER, RunRecord, write_atomically

__all__ = ["FOLDER", "TestReference"]

FOLDER = "references"
_MADE = ("harness", "platform", *FACTS, "versions")
"""Facts of the environment that the file beside a reference states."""


class TestReference:
    """The reference of one test."""

    __test__ = False  # its name begins as that of a class of tests

    def __init__(self, file: Path, nodeid: str, updates: bool, note: Callable[[str], None]) -> None:
        """`updates`: whether references are written. `note`: takes a line on what was written."""
        test = nodeid.partition("::")[2].replace("::", ".")
        self.folder = file.parent / FOLDER / file.stem / folder_name(test)
        """The folder of the record; it may not exist yet."""
        self._nodeid, self._updates, self._note = nodeid, updates, note
        self._settled = False

    def settle(self, candidate: Source) -> bool:
        """Make the candidate the reference if that was requested; whether it was.

        A reference that is identical is left as it is. Raises `AssertionError` if there is no
        reference, or if the candidate cannot be one.
        """
        __tracebackhide__ = True
        exists = (self.folder / HEADER).is_file()
        if not self._updates or self._settled:
            if not exists:
                raise AssertionError(
                    f"this test has no reference (met none in {self.folder}): record one with "
                    "pytest --update-references"
                )
            return False
        self._settled = True
        record = self._checked(load(candidate))
        before = self._difference(record.folder) if exists else "new"
        if before:
            self._write(record)
            self._note(f"reference written: {self.folder} ({before})")
        return True

    def _checked(self, record: Record) -> Record:
        if record.status not in ("completed", "stopped"):
            met, why = record.status, record.header.error
        elif record.header.probe_fault:
            met, why = "a fault of the harness", record.header.probe_fault
        elif not record.header.steps:
            met, why = "no update", "nothing was trained"
        else:
            return record
        raise AssertionError(f"a reference is the record of a complete training (met {met}): {why}")

    def _difference(self, candidate: Path) -> str:
        """How the present reference differs; empty if it is identical."""
        try:
            found = compare(RunRecord(self.folder), RunRecord(candidate), ("the old one", "this"))
        except RecordError as error:
            return str(error)
        return "" if found.outcome == "identical" else sentence(found)

    def _write(self, record: Record) -> None:
        """Replace the reference as a whole, and state what made it."""
        parent = self.folder.parent
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".new-") as scratch:
            new, old = Path(scratch) / "new", Path(scratch) / "old"
            new.mkdir()
            for name in (HEADER, *(f"{trace}.parquet" for trace in record.header.traces)):
                shutil.copy(record.folder / name, new / name)
            if self.folder.exists():
                self.folder.replace(old)
            new.replace(self.folder)
        facts = record.environment
        made: dict[str, Any] = {"test": self._nodeid, "updates": record.header.steps}
        made |= {name: facts[name] for name in _MADE if facts.get(name) is not None}
        with write_atomically(parent / f"{self.folder.name}.json") as path:
            path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
