"""`RunRecord` and its files: the record of one run, written during the run and read without torch.

A record is a folder with `record.json`, a versioned header, and one Parquet file for each trace.
The header is written last and atomically, and holds the digest of every trace. So a folder without
a header, or with a truncated or edited trace, is refused. Nothing in a record is ever executed.

`schema.py` describes the traces, `header.py` the header.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from pydantic import ValidationError
from pydantic_core import from_json

from harness.errors import RecordError
from harness.results.columns import table_of
from harness.results.header import (
    COLLAPSE,
    OBSERVATIONS_KEPT,
    OUTSIDE_OF_MODULES,
    READ_FROM_GRAPH,
    SCHEMA_VERSION,
    Counts,
    Evaluation,
    Header,
    Observation,
    OptimizerSeen,
    Site,
    TraceFile,
)
from harness.results.older import READABLE_VERSIONS, upgraded
from harness.results.schema import SCHEMAS
from harness.spec.case import RunSpec
from harness.spec.command import CommandSpec

__all__ = [
    "COLLAPSE",
    "HEADER",
    "OBSERVATIONS_KEPT",
    "OUTSIDE_OF_MODULES",
    "READ_FROM_GRAPH",
    "SCHEMAS",
    "SCHEMA_VERSION",
    "Counts",
    "Evaluation",
    "Header",
    "Observation",
    "OptimizerSeen",
    "RecordWriter",
    "RunRecord",
    "Site",
    "TraceFile",
    "file_digest",
    "write_atomically",
]

HEADER = "record.json"
_MOST_MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
_MANY = 100_000  # rows that are worth reading with several threads
_BATCH = 65_536  # rows that are read at once
_ROWS_HELD = 4096  # rows kept in memory before they are written as one row group
_REMEDY = "run it again, or restore the file"


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; it replaces `path` on success and is removed on failure."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _TraceWriter(pq.ParquetWriter):  # type: ignore[misc]  # pyarrow has no types
    """A failure to write is reported where it happens, and not once more by the destructor."""

    def __del__(self) -> None:
        with suppress(OSError):
            super().__del__()


class RecordWriter:
    """Writes a record during the run, with constant memory."""

    def __init__(self, folder: Path) -> None:
        """Create `folder`; a header of an earlier run is removed first."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / HEADER).unlink(missing_ok=True)
        self.folder = folder
        self._files: dict[str, _TraceWriter] = {}
        self._held: dict[str, dict[str, list[Any]]] = {}
        self._rows: dict[str, int] = {}
        self._aside: list[Path] = []

    @property
    def has_open_files(self) -> bool:
        """Whether rows are written to files that are not finished."""
        return bool(self._files)

    def set_aside(self, folder: Path) -> None:
        """Move all rows so far to finished files in a new `folder`, and continue in new files.

        The finished files survive a failure of this process; `close` reads them back.
        """
        folder.mkdir(parents=True)
        for trace in list(self._held):
            self._flush(trace)
        for trace, file in self._files.items():
            file.close()
            (self.folder / f"{trace}.parquet").replace(folder / f"{trace}.parquet")
        self._files = {}
        self._aside.append(folder)

    def take_up(self, folders: Iterable[Path]) -> None:
        """Continue after the rows that an earlier process had set aside in `folders`."""
        self._aside += folders

    def add(self, trace: str, **row: Any) -> None:
        """Append one row; `row` names every column of the trace's schema."""
        held = self._held.get(trace) or self._start_trace(trace)
        for name, column in held.items():
            column.append(row[name])
        if len(column) >= _ROWS_HELD:
            self._flush(trace)

    def add_rows(self, trace: str, count: int, **columns: Any) -> None:
        """Append `count` rows; each column of the schema is a list, or one value for all rows."""
        if not count:
            return
        held = self._held.get(trace) or self._start_trace(trace)
        for name, column in held.items():
            values = columns[name]
            column.extend(values if isinstance(values, list) else [values] * count)
        if len(column) >= _ROWS_HELD:
            self._flush(trace)

    def _start_trace(self, trace: str) -> dict[str, list[Any]]:
        held: dict[str, list[Any]] = {name: [] for name in SCHEMAS[trace].names}
        self._held[trace] = held
        return held

    def _flush(self, trace: str) -> None:
        held = self._held.pop(trace, None)
        if not held:
            return
        self.add_table(trace, table_of(held, SCHEMAS[trace]))

    def add_table(self, trace: str, table: pa.Table) -> None:
        """Append many rows at once, as one row group."""
        if trace not in self._files:
            # Digests look random: a dictionary of them would only make the file larger.
            coded = [name for name in table.column_names if name in ("step", "tensor")]
            path = self.folder / f"{trace}.parquet"
            self._files[trace] = _TraceWriter(
                path, table.schema, compression="zstd", use_dictionary=coded
            )
        self._files[trace].write_table(table)
        self._rows[trace] = self._rows.get(trace, 0) + table.num_rows

    def close(self, header: Header) -> None:
        """Finish the traces, then write the header."""
        if self._aside:
            self._merge_set_aside()
        for trace in list(self._held):
            self._flush(trace)
        for file in self._files.values():
            file.close()
        traces = {
            trace: TraceFile(rows=rows, xxh3_128=file_digest(self.folder / f"{trace}.parquet"))
            for trace, rows in self._rows.items()
        }
        whole = header.model_copy(update={"traces": traces})
        with write_atomically(self.folder / HEADER) as path:
            path.write_text(whole.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def _merge_set_aside(self) -> None:
        """Start the traces again with the rows that were set aside, one row group at a time."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".last-") as scratch:
            last = Path(scratch) / "last"
            self.set_aside(last)
            aside, self._aside, self._rows = self._aside, [], {}
            for folder in aside:
                for path in sorted(folder.glob("*.parquet")):
                    file = pq.ParquetFile(path)
                    for number in range(file.num_row_groups):
                        self.add_table(path.stem, file.read_row_group(number))


class RunRecord:
    """A record read back. Each trace is read and checked at its first use."""

    def __init__(self, folder: Path) -> None:
        """Read the header. Raises `RecordError` if this version cannot read it."""
        self.folder = folder
        path = folder / HEADER
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError):  # not text, or not a valid path
            raise RecordError(
                f"a record is a folder that holds a readable {HEADER}",
                folder,
                "pass the folder of a finished run",
            ) from None
        self.header = _header(text, path)

    @property
    def spec(self) -> RunSpec | CommandSpec:
        """What was run: a loop on a case, or a command."""
        return self.header.spec

    @property
    def run_spec(self) -> RunSpec:
        """The specification of a loop's run. Raises `RecordError` for the record of a command."""
        if isinstance(self.spec, RunSpec):
            return self.spec
        raise RecordError(
            "this needs the run of a loop on a case, which has a recipe",
            f"{self.folder}, the record of a command",
            "pass the folder of `harness run`",
        )

    @cached_property
    def steps(self) -> pa.Table:
        """The `steps` trace."""
        return self.trace("steps")

    @cached_property
    def micro_batches(self) -> pa.Table:
        """The `micro_batches` trace."""
        return self.trace("micro_batches")

    @cached_property
    def losses(self) -> pa.ChunkedArray:
        """The loss of each micro-batch: the workload's own, or else the scalar of `backward`."""
        table = self.micro_batches
        return pc.coalesce(table["task_loss"], table["loss"])

    @cached_property
    def tensors(self) -> pa.Table:
        """The `tensors` trace."""
        return self.trace("tensors")

    @cached_property
    def circumstances(self) -> pa.Table:
        """The `circumstances` trace."""
        return self.trace("circumstances")

    @cached_property
    def norms(self) -> pa.Table:
        """The `norms` trace."""
        return self.trace("norms")

    @cached_property
    def logged(self) -> pa.Table:
        """The `logged` trace."""
        return self.trace("logged")

    @cached_property
    def dissent(self) -> pa.Table:
        """The `dissent` trace."""
        return self.trace("dissent")

    def trace(self, name: str) -> pa.Table:
        """One trace, empty if the run left none. Raises `RecordError` if it is damaged."""
        schema = SCHEMAS[name]
        stored = self.header.traces.get(name)
        if stored is None:
            return pa.Table.from_batches([], schema)  # `empty_table` imports pandas
        path = self._unchanged(name, stored)
        try:
            # Not `read_table`: that imports pandas, which takes longer than everything else.
            file = pq.ParquetFile(path)
            if file.metadata.num_rows != stored.rows:
                rule = "a trace must have the rows and columns of its header"
                raise RecordError(rule, path, _REMEDY)
            table = _whole(file)
            if table is None:
                rule = "a trace must fit into the memory of this machine"
                raise RecordError(rule, path, "read it on a machine with more memory")
            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError):
            raise RecordError("a trace is a Parquet file", path, _REMEDY) from None
        if self.header.schema_version != SCHEMA_VERSION:
            table = upgraded(name, table)
        if table.num_rows != stored.rows or not table.schema.equals(schema):
            raise RecordError("a trace must have the rows and columns of its header", path, _REMEDY)
        return table

    def is_intact(self) -> bool:
        """Whether every trace is present and unchanged. None of them is kept in memory."""
        try:
            for name, stored in self.header.traces.items():
                self._unchanged(name, stored)
        except RecordError:
            return False
        return True

    def _unchanged(self, name: str, stored: TraceFile) -> Path:
        """The file of a trace. Raises `RecordError` if it is absent or has changed."""
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            raise RecordError("every trace of a record must be present", path, _REMEDY)
        if file_digest(path) != stored.xxh3_128:
            raise RecordError("a trace must be unchanged", path, _REMEDY)
        return path


def _whole(file: pq.ParquetFile) -> pa.Table | None:
    """The table in a file; None if it does not fit into memory.

    It is read in parts, whose sizes are real. What a file states about its columns is not asked:
    for a damaged statement Arrow ends the process.
    """
    size, parts = 0, []
    many = file.metadata.num_rows > _MANY
    for part in file.iter_batches(batch_size=_BATCH, use_threads=many):
        size += part.nbytes
        if size > _MOST_MEMORY:
            return None
        parts.append(part)
    return pa.Table.from_batches(parts, file.schema_arrow)


def _header(text: str, path: Path) -> Header:
    try:
        raw = from_json(text)
    except ValueError:
        raise RecordError("a record's header is JSON", path, "run it again") from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version not in (SCHEMA_VERSION, *READABLE_VERSIONS) or isinstance(version, bool | float):
        raise RecordError(
            f"this harness reads records of schema version {SCHEMA_VERSION}",
            f"version {version} in {path}",
            "run it again with this version, or read it with the one that wrote it",
        )
    try:
        header = Header.model_validate(raw)
        if not header.traces.keys() <= SCHEMAS.keys():
            unknown = next(name for name in header.traces if name not in SCHEMAS)
            raise RecordError("a record has known traces", f"{unknown!r} in {path}", "run it again")
        return header
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"header field {place}: {first['msg']}", path, "run it again") from None


def file_digest(path: Path) -> str:
    """128-bit XXH3 of a file's bytes, in hexadecimal."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
