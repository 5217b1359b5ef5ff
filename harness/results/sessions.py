"""The sessions of a benchmark: one Parquet file per session, written atomically at its end.

A file is complete or absent: a kill or a full disk loses only the current session. Each row is one
block: the steady steps of one turn of one arm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import RecordError
from harness.results.record import write_atomically

__all__ = ["FOLDER", "SCHEMA", "SCHEMA_VERSION", "Block", "Session", "read_sessions"]

SCHEMA_VERSION = 1
"""1: first version."""
FOLDER = "sessions"
"""The folder of sessions within an output folder."""

SCHEMA = pa.schema(
    [
        ("round", pa.int32()),
        ("position", pa.int32()),
        ("arm", pa.dictionary(pa.int8(), pa.string())),
        ("steps", pa.int32()),
        ("wall_s", pa.float64()),
        ("cpu_s", pa.float64()),
        ("delay_s", pa.float64()),
        ("restart_s", pa.float64()),
        ("samples", pa.int64()),
        ("tokens", pa.int64()),
        ("padded_tokens", pa.int64()),
        ("energy_j", pa.float64()),
        ("yardstick_s", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Block:
    """The steps of one turn except its first."""

    round: int
    """From 1."""
    position: int
    """Within the round, from 1."""
    arm: str
    steps: int
    """Number of counted updates."""
    wall_s: float
    cpu_s: float
    """CPU seconds of all threads of the process, without processes of the loader."""
    delay_s: float | None
    """Seconds in which the training thread was ready but not running; None if the kernel does not
    report them."""
    restart_s: float
    """Wall seconds of the first step of the turn, which is not counted."""
    samples: int
    """Rows; 0 if they are not known, as for a command."""
    tokens: int
    """Tokens without padding."""
    padded_tokens: int
    """Tokens with padding."""
    energy_j: float | None = None
    """Joules used by the accelerator; None if it does not report them."""
    yardstick_s: float | None = None
    """Own seconds of the yardstick (`harness.benchmark.child.yardstick`) just before the turn. None
    for a session of an earlier version, which did not time it."""

    @property
    def own_s(self) -> float:
        """Wall time without `delay_s`: CPU time and the thread's own waiting."""
        return self.wall_s - (self.delay_s or 0.0)


@dataclass(frozen=True)
class Session:
    """All arms, each in one new process, taking turns."""

    number: int
    """From 1."""
    plan: str
    """Key of what was measured; only sessions of one plan are combined."""
    blocks: tuple[Block, ...]
    first_step_s: Mapping[str, float]
    """By arm: seconds of the first step of its process, with compilation. Empty for commands."""
    took_s: float
    """Wall seconds, with start and end of the processes."""

    @property
    def rounds(self) -> int:
        """Number of turns of each arm."""
        return max(block.round for block in self.blocks)

    @property
    def steps_per_turn(self) -> int:
        """Steps of a turn, with the first one, which is not counted."""
        return self.blocks[0].steps + 1

    def write(self, folder: Path) -> Path:
        """Write a new file in `folder`, atomically. Raises `OSError`."""
        folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "schema_version": SCHEMA_VERSION,
            "number": self.number,
            "plan": self.plan,
            "first_step_s": dict(self.first_step_s),
            "took_s": self.took_s,
        }
        table = pa.Table.from_pylist([asdict(block) for block in self.blocks], schema=SCHEMA)
        table = table.replace_schema_metadata({"harness": json.dumps(facts)})
        path = folder / f"{self.number:03}.parquet"
        with write_atomically(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return path

    @classmethod
    def read(cls, path: Path) -> Session:
        """The session in the file `path`. Raises `RecordError` if it cannot be read."""
        try:
            table = pq.read_table(path)
            facts: dict[str, Any] = json.loads(table.schema.metadata[b"harness"])
            if facts.pop("schema_version") != SCHEMA_VERSION:
                raise ValueError("of another schema version")
            blocks = tuple(Block(**row) for row in table.to_pylist())
            return cls(blocks=blocks, **facts)
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise RecordError(
                "a session of a benchmark is a complete file", f"{path}: {error}"
            ) from None


def read_sessions(folder: Path) -> Sequence[Session]:
    """The sessions of an output folder, in order. Raises `RecordError` if one is damaged."""
    return [Session.read(path) for path in sorted((folder / FOLDER).glob("*.parquet"))]
