"""Merges the records of processes that trained together, and checks that they agree.

The merged record is that of rank 0, with the micro-batches of all ranks. Tensors in which another
rank differs from rank 0 at the end of a step go into the trace `dissent`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from harness.results.arrow import as_numpy
from harness.results.joined import joined
from harness.results.record import SCHEMAS, Header, RecordWriter, RunRecord
from harness.spec.command import CommandSpec

__all__ = ["gather", "is_peer_failure", "rank_folder", "rank_of", "without_partners"]

FOLDER = "ranks"
_PEER_FAILURES = ("closed by peer", "reset by peer", "remote process exited", "Broken pipe")
_READ = ["step", "micro_batch", "rows", "batch_content", "label_content"]
_DIGESTS = ("gradient", "weight", "optimizer_state")


def rank_folder(folder: Path, rank: int) -> Path:
    """The folder of the record of process `rank`, within the folder of the run."""
    return folder / FOLDER / str(rank)


def rank_of(micro_batch: int, world_size: int) -> tuple[int, int]:
    """Rank, and number on that rank (from 1), of a micro-batch of a merged record."""
    return (micro_batch - 1) % world_size, (micro_batch - 1) // world_size + 1


def is_peer_failure(error: str) -> bool:
    """Whether a process failed because a peer had ended, by the messages of gloo and NCCL."""
    return any(message in error for message in _PEER_FAILURES)


def gather(folder: Path, world_size: int) -> None:
    """Write the record in `folder` from those of the processes, and remove these.

    Raises `RecordError` if a process left no record.
    """
    records = joined([RunRecord(rank_folder(folder, rank)) for rank in range(world_size)])
    writer = RecordWriter(folder)
    first, readers = records[0], _readers(records)
    for name in first.header.traces:
        if name in ("micro_batches", "circumstances", "modules"):
            writer.add_table(name, _micro_batches([record.trace(name) for record in readers]))
        elif name in ("operations", "statements", "state"):
            writer.add_table(name, _with_rank([record.trace(name) for record in records]))
        elif name == "shares":
            writer.add_table(name, pa.concat_tables([record.trace(name) for record in records]))
        else:
            writer.add_table(name, first.trace(name))
    for rank, record in enumerate(records[1:], start=1):
        dissent = _without_sound_shares(_dissent(first, record, rank), records, rank)
        if len(dissent):
            writer.add_table("dissent", dissent)
    writer.close(_header(records, readers))
    shutil.rmtree(folder / FOLDER)


def without_partners(folder: Path) -> None:
    """Rewrite the record of one process of several, whose partners left none.

    The digest of a tensor of which it held only a share is not known.
    """
    record = RunRecord(folder)
    if not record.header.in_shares:
        return
    (whole,) = joined([record])
    tables = {name: whole.trace(name) for name in record.header.traces}
    writer = RecordWriter(folder)
    for name, table in tables.items():
        writer.add_table(name, table)
    writer.close(whole.header)


def _readers(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records of the processes that read batches of their own.

    Processes that together compute one batch, as in tensor parallelism, read the same: one of them
    is enough. If any of them read another batch, all are kept, and the comparison shows it.
    """
    headers = [record.header for record in records]
    leaders = [h.batches_from if h.batches_from is not None else r for r, h in enumerate(headers)]
    sizes = {leaders.count(leader) for leader in leaders}
    commands = all(isinstance(header.spec, CommandSpec) for header in headers)
    if sizes == {1} or len(sizes) > 1 or not commands:
        return list(records)
    for leader, record in zip(leaders, records, strict=True):
        read = [each.micro_batches.select(_READ) for each in (records[leader], record)]
        if not read[0].equals(read[1]):
            return list(records)
    return [records[leader] for leader in dict.fromkeys(leaders)]


def _header(records: Sequence[RunRecord], readers: Sequence[RunRecord]) -> Header:
    headers = [record.header for record in records]
    first = headers[0]
    samples = sum(record.header.samples for record in readers)
    spec = first.spec
    if isinstance(spec, CommandSpec):
        spec = spec.model_copy(update={"model_parallel": len(records) // len(readers)})
    rows = round(first.samples / first.epochs) if first.epochs else 0
    failed = [header for header in headers if header.status == "failed"]
    after_peer = [header for header in failed if is_peer_failure(header.error or "")]
    interrupted = [header for header in headers if header.status == "interrupted"]
    # If one node is interrupted, the others fail as a consequence.
    causes = [header for header in failed if header not in after_peer]
    worst = [*causes, *interrupted, *after_peer, first][0]
    rank = headers.index(worst)
    return first.model_copy(
        update={
            "spec": spec,
            "status": worst.status,
            "error": worst.error and f"rank {rank}: {worst.error}",
            "traceback": worst.traceback,
            "samples": samples,
            "micro_batches": sum(record.header.micro_batches for record in readers),
            "epochs": samples / rows if rows else 0.0,
            "repeated_samples": _repeated(records),
            # What one process lacks, the whole record lacks.
            "probe_fault": next(_of_ranks(headers, "probe_fault"), None),
            "unseen": tuple(dict.fromkeys(what for each in headers for what in each.unseen)),
        }
    )


def _of_ranks(headers: Sequence[Header], name: str) -> Iterator[str]:
    """A fact of each process that has it, with its rank."""
    for rank, header in enumerate(headers):
        fact = getattr(header, name)
        if fact is not None:
            yield f"rank {rank}: {fact}"


def _repeated(records: Sequence[RunRecord]) -> int:
    """Number of samples that any process had already seen in their epoch."""
    per_epoch = records[0].header.steps_per_epoch
    if not per_epoch:
        return 0
    epochs, ids = [], []
    for record in records:
        table = record.micro_batches
        column = table["sample_ids"].combine_chunks()
        sizes = np.diff(as_numpy(pa.chunked_array([column.offsets])))
        ids.append(as_numpy(pa.chunked_array([column.flatten()])))
        epochs.append(np.repeat((as_numpy(table["step"]) - 1) // per_epoch, sizes))
    seen = np.stack([np.concatenate(epochs), np.concatenate(ids)])
    return int(seen.shape[1] - np.unique(seen, axis=1).shape[1])


def _micro_batches(own_tables: Sequence[pa.Table]) -> pa.Table:
    """The micro-batches of all processes, numbered by micro-batch, then rank."""
    count, tables = len(own_tables), []
    for rank, table in enumerate(own_tables):
        own = as_numpy(table["micro_batch"]).astype(np.int32)
        through = pa.array((own - 1) * count + rank + 1, pa.int32())
        place = table.column_names.index("micro_batch")
        tables.append(table.set_column(place, "micro_batch", through))
    whole = pa.concat_tables(tables)
    keys = [key for key in ("step", "micro_batch", "number") if key in whole.column_names]
    return whole.sort_by([(key, "ascending") for key in keys])


def _with_rank(own_tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all processes, with the rank of each."""
    tables = []
    for rank, table in enumerate(own_tables):
        ranks = pa.array(np.full(table.num_rows, rank, np.int16))
        tables.append(table.set_column(table.column_names.index("rank"), "rank", ranks))
    return pa.concat_tables(tables)


def _dissent(first: RunRecord, other: RunRecord, rank: int) -> pa.Table:
    """The tensors in which `other` differs from `first`, at each step that both made."""
    steps = min(len(first.steps), len(other.steps))
    left, right = (
        table.filter(pa.array(as_numpy(table["step"]) <= steps))
        for table in (first.tensors, other.tensors)
    )
    recorded = [name for name in _DIGESTS if not left[name].null_count]
    equal = {name: as_numpy(left[name]) == as_numpy(right[name]) for name in recorded}
    agreed = np.logical_and.reduce(list(equal.values()))
    rows = pa.array(~agreed)
    columns = {
        "step": right["step"].filter(rows),
        "rank": pa.array(np.full(int((~agreed).sum()), rank), pa.int16()),
        "tensor": right["tensor"].filter(rows).cast(pa.string()),
    }
    for name in _DIGESTS:
        columns[name] = pa.nulls(int((~agreed).sum()), pa.uint64())
    for name in recorded:
        columns[name] = pa.array(as_numpy(right[name])[~agreed], mask=equal[name][~agreed])
    return pa.table(columns, schema=SCHEMAS["dissent"])


def _without_sound_shares(dissent: pa.Table, records: Sequence[RunRecord], rank: int) -> pa.Table:
    """Only the rows in which this process's own share differs from that of the first copy.

    The digest of a whole copy differs for each of its processes, whichever of them is at fault.
    """
    if "shares" not in records[rank].header.traces:
        return dissent
    first = {key: value for record in records for key, value in _sums(record, copy=0).items()}
    own = _sums(records[rank])
    known = {key[:2] for key in own if key in first}
    faulty = {key[:2] for key, value in own.items() if first.get(key, value) != value}
    keys = zip(dissent["step"].to_pylist(), dissent["tensor"].to_pylist(), strict=True)
    return dissent.filter(pa.array([key in faulty or key not in known for key in keys], pa.bool_()))


def _sums(record: RunRecord, copy: int | None = None) -> dict[tuple[int, str, str, int], object]:
    """The sums of a process's shares, by step, tensor, part and offset; of one copy or of all."""
    trace = record.trace("shares")
    names = ("step", "tensor", "part", "offset", "sum", "text", "copy")
    return {
        (step, tensor, part, offset): (number, text)
        for step, tensor, part, offset, number, text, of in zip(
            *(trace[name].to_pylist() for name in names), strict=True
        )
        if copy is None or of == copy
    }
