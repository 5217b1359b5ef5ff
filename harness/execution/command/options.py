"""What the processes of a traced command are asked to do, as a file that they read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["VARIABLE", "Options"]

VARIABLE = "HARNESS_TRACE"
"""The environment variable with the path of the file."""


@dataclass(frozen=True)
class Options:
    """Only values of JSON: an interpreter reads them before it knows what it can import."""

    notes: str
    """The folder of one small file for each process that imported torch."""
    parts: str
    """The folder of one folder for each training of a process."""
    spec: dict[str, Any]
    """A `CommandSpec`."""
    num_threads: int
    """Threads of a deterministic training."""
    commit: str
    """The commit of the harness, which only the parent looks up; empty if it has none."""
    repository: dict[str, Any]
    """The state of the user's repository, which only the parent looks up; see `find_repository`."""
    gate: str = ""
    """The address at which the parent grants turns: nothing is recorded then. Empty: no gate."""

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: str) -> Options:
        """Read the file."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
