"""`RunRecord` and its files: what one run left behind, written as it goes and read without torch.

A record is a folder: `record.json`, a header with a version, and one Parquet file for each trace.
The header is written last and atomically, and holds the digest of every trace, so a folder without
a header, or with a trace that was cut or edited, is refused rather than read. Nothing in a record
is ever executed.

Traces, one row each:

- `steps`: an optimizer update, counted from 1. Learning rates used by it (one for each distinct
  value among the parameter groups), the total 2-norm of the raw gradients, and digests of the raw
  gradients, of the weights after it, and of the optimizer's state after it; null where the run's
  `detail` leaves them out.
- `micro_batches`: a forward and backward pass. Row ids, digest of the batch's tensors, digest of
  the random generators just before the forward pass, and the loss as the workload defines it.
- `tensors`: one parameter at one step; step 0 holds the initial weights. Not at detail `steps`.
- `sketches`: one parameter at one step, step 0 included, in a run that was asked for them: a few
  sums of its elements with random signs, see `sketch.py`.
- `timings`: seconds of each step, in a timing run only.
- `circumstances`, `norms`, `logged`: evidence for why two runs differ, never compared bit for bit:
  of each micro-batch how it was made and run; of each parameter and step the 2-norms of the raw
  gradient and of the one that the update was given, at step 0 of the weight; and of each step the
  loss that the loop showed its user, where it told.
- `modules`: one call of a module at the one step that a dug run looks into, and its backward pass
  as another row; `number` counts them in the order in which they ended. What it took and gave
  (inputs and output, forward; gradients of output and of inputs, backward), each by name and type,
  with the 2-norm of each and a sketch of what it gave. Forward also: digests of the random
  generators before it and of the parameters that are its own.
- `dissent`: where several processes trained together, what one of them held otherwise than the
  first at the end of a step, with a null for what it held alike; empty where they agree.

With N processes the micro-batch number m of rank r is N * (m - 1) + r + 1, so that they stand in
the order of micro-batch, then rank. Gradients are then the reduced ones.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from harness.errors import RecordError
from harness.spec import RunSpec

__all__ = [
    "COLLAPSE",
    "HEADER",
    "SCHEMAS",
    "SCHEMA_VERSION",
    "Counts",
    "Evaluation",
    "Header",
    "Observation",
    "RecordWriter",
    "RunRecord",
    "TraceFile",
    "file_digest",
    "write_atomically",
]

SCHEMA_VERSION = 1
"""1: first version."""

HEADER = "record.json"
COLLAPSE = "majority-class collapse"
"""How the warning begins that every answer of the trained model was one and the same class."""
_ROWS_HELD = 4096  # rows kept in memory before they go to the file as one row group

SCHEMAS: dict[str, pa.Schema] = {
    "steps": pa.schema(
        [
            ("step", pa.int32()),
            ("learning_rate", pa.list_(pa.float64())),
            ("grad_norm", pa.float64()),
            ("gradients", pa.uint64()),
            ("weights", pa.uint64()),
            ("optimizer_state", pa.uint64()),
        ]
    ),
    "micro_batches": pa.schema(
        [
            ("step", pa.int32()),
            ("micro_batch", pa.int32()),
            ("sample_ids", pa.list_(pa.int32())),
            ("batch_content", pa.uint64()),
            ("rng", pa.uint64()),
            ("loss", pa.float64()),
        ]
    ),
    "tensors": pa.schema(
        [
            ("step", pa.int32()),
            ("tensor", pa.dictionary(pa.int16(), pa.string())),
            ("gradient", pa.uint64()),
            ("weight", pa.uint64()),
            ("optimizer_state", pa.uint64()),
        ]
    ),
    "sketches": pa.schema(
        [
            ("step", pa.int32()),
            ("tensor", pa.dictionary(pa.int16(), pa.string())),
            ("sketch", pa.list_(pa.float64())),
        ]
    ),
    "circumstances": pa.schema(
        [
            ("step", pa.int32()),
            ("micro_batch", pa.int32()),
            ("training", pa.bool_()),
            ("shape", pa.list_(pa.int32())),
            ("labels", pa.int64()),
            ("targets", pa.int64()),
            ("passes_before", pa.int32()),
            ("compute_dtype", pa.dictionary(pa.int8(), pa.string())),
        ]
    ),
    "norms": pa.schema(
        [
            ("step", pa.int32()),
            ("tensor", pa.dictionary(pa.int16(), pa.string())),
            ("weight", pa.float32()),
            ("gradient", pa.float32()),
            ("applied", pa.float32()),
        ]
    ),
    "logged": pa.schema([("step", pa.int32()), ("loss", pa.float64())]),
    "timings": pa.schema([("step", pa.int32()), ("step_s", pa.float64())]),
    "modules": pa.schema(
        [
            ("step", pa.int32()),
            ("micro_batch", pa.int32()),
            ("number", pa.int32()),
            ("direction", pa.string()),
            ("module", pa.string()),
            ("kind", pa.string()),
            ("call", pa.int32()),
            ("training", pa.bool_()),
            ("rng", pa.uint64()),
            ("parameters", pa.uint64()),
            ("taken_names", pa.list_(pa.string())),
            ("taken", pa.list_(pa.uint64())),
            ("taken_norms", pa.list_(pa.float64())),
            ("given_names", pa.list_(pa.string())),
            ("given", pa.list_(pa.uint64())),
            ("given_norms", pa.list_(pa.float64())),
            ("sketches", pa.list_(pa.list_(pa.float64()))),
        ]
    ),
    "dissent": pa.schema(
        [
            ("step", pa.int32()),
            ("rank", pa.int16()),
            ("tensor", pa.string()),
            ("gradient", pa.uint64()),
            ("weight", pa.uint64()),
            ("optimizer_state", pa.uint64()),
        ]
    ),
}


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class TraceFile(_Stored):
    """One Parquet file of a record."""

    rows: int
    xxh3_128: str


class Evaluation(_Stored):
    """Metrics of the model after `step` updates, over `rows` rows of the evaluation set."""

    step: int
    rows: int
    metrics: dict[str, float]
    loss_metrics: dict[str, float] = {}
    """The mean loss, and what follows from it, where the loop told them."""


class Observation(_Stored):
    """Something that was seen at a step, and a number that belongs to it."""

    step: int
    value: float | None = None


class Counts(BaseModel):
    """What a run has seen so far, whichever probe saw it."""

    steps: int = 0
    micro_batches: int = 0
    samples: int = 0
    parameters: int = 0
    """Number of trained scalars."""
    initial_weights: str | None = None
    """Digest of the weights before the first step, in hexadecimal."""
    evaluations: list[Evaluation] = []
    remedies: list[str] = []
    """What the loop did to work around faults of its framework."""
    observed: dict[str, list[Observation]] = {}
    """Doings outside backward pass and update that explain a difference, each at its first steps;
    see `circumstances.py`."""
    settings: dict[str, Any] = {}
    """How the training was set up, before its first step; see `live_settings.py`."""


class Header(_Stored):
    """Everything of a run but its traces."""

    schema_version: int
    spec: RunSpec
    status: Literal["completed", "stopped", "failed", "interrupted", "not run"]
    """Stopped: it ended after the steps that `spec.stop_after` asks for. Not run: what it needs is
    not here; `error` says what."""
    environment: dict[str, Any]
    digest_algorithm: str = ""
    steps_expected: int | None = None
    """Updates that the recipe asks for on this data."""
    steps_per_epoch: int | None = None
    """Updates that make an epoch."""
    parameters: int = 0
    """Number of trained scalars."""
    steps: int = 0
    micro_batches: int = 0
    samples: int = 0
    epochs: float = 0.0
    """Samples seen over rows in the training set."""
    repeated_samples: int = 0
    """Samples that had been seen before in the same epoch, as processes fill up their last
    batches."""
    initial_weights: str | None = None
    """Digest of the weights before the first step, in hexadecimal."""
    tensors_every: int = 1
    """The `tensors` trace holds each step whose number is a multiple of this, and the first."""
    evaluations: tuple[Evaluation, ...] = ()
    resumed_from: tuple[int, ...] = ()
    """Steps whose checkpoints the run went on from, each in a new process."""
    wall_s: float | None = None
    """Seconds in the loop, of the last process. Not a benchmark: whatever else ran on the machine
    is in it."""
    warnings: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    """What the loop did to work around faults of its framework."""
    observed: dict[str, tuple[Observation, ...]] = {}
    """As in `Counts`."""
    settings: dict[str, Any] = {}
    """As in `Counts`."""
    error: str | None = None
    """Why it failed, in a line."""
    traceback: str | None = None
    traces: dict[str, TraceFile] = {}

    @property
    def final_metrics(self) -> dict[str, float]:
        """Metrics of the evaluation after the last step; empty if there was none."""
        return self.evaluations[-1].metrics if self.evaluations else {}

    @property
    def collapsed(self) -> bool:
        """Whether the trained model gives one answer to everything, so that its scores mean
        nothing."""
        return any(warning.startswith(COLLAPSE) for warning in self.warnings)


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it on success and vanishes on failure."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class RecordWriter:
    """Writes a record as the run goes; memory stays flat however long the run is."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made; a header left there by an earlier run is removed first."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / HEADER).unlink(missing_ok=True)
        self.folder = folder
        self._files: dict[str, pq.ParquetWriter] = {}
        self._held: dict[str, dict[str, list[Any]]] = {}
        self._rows: dict[str, int] = {}
        self._aside: list[Path] = []

    def set_aside(self, folder: Path) -> None:
        """Finish what was added so far as files in a new `folder`; the record goes on in others.

        They are safe there whatever becomes of this process, and `close` reads them back.
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
        """Go on after what an earlier process had set aside in `folders`."""
        self._aside += folders

    def add(self, trace: str, **row: Any) -> None:
        """Append one row; `row` names every column of the trace's schema."""
        held = self._held.get(trace) or self._begun(trace)
        for name, column in held.items():
            column.append(row[name])
        if len(column) >= _ROWS_HELD:
            self._flush(trace)

    def add_rows(self, trace: str, count: int, **columns: Any) -> None:
        """Append `count` rows; each column of the schema is a list, or one value for all rows."""
        if not count:
            return
        held = self._held.get(trace) or self._begun(trace)
        for name, column in held.items():
            values = columns[name]
            column.extend(values if isinstance(values, list) else [values] * count)
        if len(column) >= _ROWS_HELD:
            self._flush(trace)

    def _begun(self, trace: str) -> dict[str, list[Any]]:
        held: dict[str, list[Any]] = {name: [] for name in SCHEMAS[trace].names}
        self._held[trace] = held
        return held

    def _flush(self, trace: str) -> None:
        held = self._held.pop(trace, None)
        if not held:
            return
        self.add_table(trace, pa.table(held, schema=SCHEMAS[trace]))

    def add_table(self, trace: str, table: pa.Table) -> None:
        """Append many rows at once, as one row group."""
        if trace not in self._files:
            # Digests look random: a dictionary of them would only make the file larger.
            coded = [name for name in table.column_names if name in ("step", "tensor")]
            path = self.folder / f"{trace}.parquet"
            self._files[trace] = pq.ParquetWriter(
                path, table.schema, compression="zstd", use_dictionary=coded
            )
        self._files[trace].write_table(table)
        self._rows[trace] = self._rows.get(trace, 0) + table.num_rows

    def close(self, header: Header) -> None:
        """Finish the traces, then write the header that makes them a record."""
        if self._aside:
            self._put_together()
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

    def _put_together(self) -> None:
        """Begin the traces anew with what was set aside, one row group at a time."""
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
    """A record read back. Traces are read when first asked for, and checked then."""

    def __init__(self, folder: Path) -> None:
        """Read the header. Raises `RecordError` where there is none that this version knows."""
        self.folder = folder
        path = folder / HEADER
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise RecordError(
                f"a record is a folder that holds a readable {HEADER}",
                folder,
                "pass the folder of a finished run",
            ) from None
        self.header = _header(text, path)

    @property
    def spec(self) -> RunSpec:
        """What was run."""
        return self.header.spec

    @cached_property
    def steps(self) -> pa.Table:
        """The `steps` trace."""
        return self.trace("steps")

    @cached_property
    def micro_batches(self) -> pa.Table:
        """The `micro_batches` trace."""
        return self.trace("micro_batches")

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
        """One trace, empty where the run left none. Raises `RecordError` where it is damaged."""
        schema = SCHEMAS[name]
        stored = self.header.traces.get(name)
        if stored is None:
            return pa.Table.from_batches([], schema)  # `empty_table` imports pandas
        path = self.folder / f"{name}.parquet"
        remedy = "run it again, or restore the file"
        if not path.is_file():
            raise RecordError("every trace of a record must be there", path, remedy)
        if file_digest(path) != stored.xxh3_128:
            raise RecordError("a trace must be as it was written", f"{path}, changed", remedy)
        try:
            # Not `read_table`: that imports pandas, which takes longer than everything else.
            table = pq.ParquetFile(path).read()
        except pa.ArrowInvalid:
            raise RecordError("a trace is a Parquet file", path, remedy) from None
        if table.num_rows != stored.rows or not table.schema.equals(schema):
            raise RecordError("a trace must hold the columns and rows of its header", path, remedy)
        return table


def _header(text: str, path: Path) -> Header:
    try:
        raw = from_json(text)
    except ValueError:
        raise RecordError("a record's header is JSON", path, "run it again") from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"this harness reads records of schema version {SCHEMA_VERSION}",
            f"version {version} in {path}",
            "run it again with this version, or read it with the one that wrote it",
        )
    try:
        return Header.model_validate(raw)
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
