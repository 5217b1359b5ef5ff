"""What the processes of a command left behind, and the records that are made of it.

Processes that trained together make one record. Every other training makes one of its own.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from harness.errors import RecordError
from harness.execution.command.launch import End
from harness.results import ranks
from harness.results.record import HEADER, Header, RecordWriter, RunRecord, write_atomically
from harness.spec.command import CommandSpec
from harness.tracing.attach.files import CUT_OFF, HEADER_SO_FAR, KEPT, PLACE

__all__ = ["Part", "Recorded", "gather", "parts_in"]


@dataclass(frozen=True)
class Part:
    """The recording of one training of one process."""

    folder: Path
    pid: int
    rank: int
    world_size: int
    group: str
    """What processes that trained together share; empty: it trained alone."""
    process_started: int
    """When its process started, in some unit; 0 if that is not known."""
    number: int
    """Counts the trainings of its process."""
    models: tuple[str, ...]
    """The classes of the models that it trained."""


@dataclass
class Recorded:
    """A finished record of the command."""

    record: RunRecord
    models: tuple[str, ...]
    """The classes of the models that were trained."""

    def change(self, **fields: object) -> None:
        """Replace fields of the header."""
        header = self.record.header.model_copy(update=fields)
        with write_atomically(self.record.folder / HEADER) as path:
            path.write_text(header.model_dump_json(indent=1) + "\n", encoding="utf-8")
        self.record = RunRecord(self.record.folder)

    def note_end(self, end: End) -> None:
        """Note how the command ended, if the record of the training does not know it."""
        header = self.record.header
        if not end.exit_code or (header.status != "completed" and header.error != CUT_OFF):
            return
        status = "interrupted" if end.interrupted else "failed"
        how = f"the command ended with exit code {end.exit_code}"
        if end.killed_by is not None:
            how = f"the command was ended by {signal.Signals(end.killed_by).name}"
        self.change(status=status, error=how)


def parts_in(folder: Path) -> list[Part]:
    """The recordings in `folder`, in the order in which their processes started.

    One whose process was killed is completed from the rows that it had set aside. One that holds no
    step is left out.
    """
    found = []
    for place in folder.glob(f"*/{PLACE}"):
        if not (place.parent / HEADER).is_file() and not _recover(place.parent):
            continue
        try:
            facts = json.loads(place.read_text(encoding="utf-8"))
            found.append(Part(place.parent, **{**facts, "models": tuple(facts["models"])}))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return sorted(found, key=lambda part: (part.process_started, part.pid, part.number))


def _recover(folder: Path) -> bool:
    """Make a record of the rows that a killed process had set aside; whether there is one."""
    try:
        text = (folder / HEADER_SO_FAR).read_text(encoding="utf-8")
        header = Header.model_validate_json(text)
    except (OSError, ValidationError):
        return False
    for unfinished in folder.glob("*.parquet"):
        unfinished.unlink()
    writer = RecordWriter(folder)
    for path in sorted((folder / KEPT).glob("*/*.parquet")):
        table = pq.ParquetFile(path).read()
        kept = table.filter(pc.less_equal(table["step"], pa.scalar(header.steps, pa.int32())))
        if len(kept):
            writer.add_table(path.stem, kept)
    last = f"The process was killed: what it did after step {header.steps} is missing."
    writer.close(header.model_copy(update={"unseen": (*header.unseen, last)}))
    shutil.rmtree(folder / KEPT)
    return True


def gather(parts: Iterable[Part], records: Path, spec: CommandSpec) -> list[Recorded]:
    """Move the parts to `records`: one record for those that trained together.

    It is named as in `spec`. Further records are called NAME-2, NAME-3, ... in the order of their
    processes. The folder of a draw has its number too.
    """
    found: list[Recorded] = []
    for together in _groups(parts):
        own = f"{spec.name}-{len(found) + 1}" if found else spec.name
        folder = records / f"{own}{spec.draw_suffix}"
        unseen = _join(together, folder)
        recorded = Recorded(RunRecord(folder), together[0].models)
        header = recorded.record.header
        named = header.spec.model_copy(update={"name": own, "training": together[0].number})
        recorded.change(spec=named, unseen=(*header.unseen, *unseen))
        found.append(recorded)
    return found


def _groups(parts: Iterable[Part]) -> list[list[Part]]:
    """The parts that belong to one record, ordered by rank."""
    groups: dict[tuple[object, ...], list[Part]] = {}
    turns: dict[tuple[str, int], int] = {}
    for part in parts:
        if not part.group:
            groups[str(part.folder),] = [part]
            continue
        # Processes that train together several times meet at one place each time.
        turn = turns[part.group, part.rank] = turns.get((part.group, part.rank), 0) + 1
        groups.setdefault((part.group, part.world_size, turn), []).append(part)
    return [sorted(group, key=lambda part: part.rank) for group in groups.values()]


def _join(together: list[Part], folder: Path) -> list[str]:
    """Make one record in `folder` of the parts of one training; return what is missing."""
    first = together[0]
    absent = sorted(set(range(first.world_size)) - {part.rank for part in together})
    unseen = [f"Rank {rank} of {first.world_size} left no record." for rank in absent]
    if first.world_size > 1 and not absent:
        try:
            for part in together:
                target = ranks.rank_folder(folder, part.rank)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(part.folder, target)
            ranks.gather(folder, first.world_size)
        except (RecordError, OSError) as error:
            shutil.rmtree(folder)
            unseen.append(f"Only rank 0 is recorded, since the ranks cannot be joined: {error}")
        else:
            return unseen
    shutil.move(first.folder, folder)
    (folder / PLACE).unlink(missing_ok=True)
    ranks.without_partners(folder)
    return unseen
