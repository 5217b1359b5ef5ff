"""The exact facts of one loop, read from its traced run; a check compares them bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from harness.comparison.validity import order_faults, validity_doubts
from harness.errors import RecordError
from harness.results.arrow import as_numpy
from harness.results.record import RunRecord

__all__ = ["KEPT_STEPS", "TRACES", "LoopFacts", "Trace", "facts_of", "soundness_problems"]

KEPT_STEPS = 512
"""Number of first steps whose values are stored, so that a report can name the first difference."""

Value = float | str | None


class Trace(BaseModel):
    """One column of a trace: a digest of all values, and the values of the first steps."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rows: int = Field(ge=0)
    digest: str
    """Digest of every value in order, at full precision."""
    first: tuple[Value, ...]
    """For each of the first steps: the value, or a digest of a value that is not printable."""


class LoopFacts(BaseModel):
    """The facts of one loop. A fact that was not recorded is None."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    recipe: str
    """Digest of the recipe of this loop, with the overrides of its native conventions."""
    steps: int = Field(ge=1)
    micro_batches: int = Field(ge=1)
    samples: int = Field(ge=1)
    padded_tokens: int | None
    """Tokens of all batches with padding; None if the rows have no tokens."""
    parameters: int
    """Number of trained scalars."""
    initial_weights: str | None
    traces: dict[str, Trace]
    final_metrics: dict[str, float]
    peak_allocated_bytes: int | None = None
    """Peak memory of tensors, see `harness.benchmark.child.meters`."""


@dataclass(frozen=True)
class TraceRow:
    title: str
    read: Callable[[RunRecord], Trace | None]


def facts_of(record: RunRecord, peak_allocated_bytes: float | None = None) -> LoopFacts:
    """The facts of a traced run. Raises `RecordError` if a trace is damaged."""
    header = record.header
    traces = {name: row.read(record) for name, row in TRACES.items()}
    return LoopFacts(
        recipe=record.run_spec.recipe.key,
        steps=header.steps,
        micro_batches=header.micro_batches,
        samples=header.samples,
        padded_tokens=_padded_tokens(record),
        parameters=header.parameters,
        initial_weights=header.initial_weights,
        traces={name: trace for name, trace in traces.items() if trace is not None},
        final_metrics=header.final_metrics,
        peak_allocated_bytes=None if peak_allocated_bytes is None else int(peak_allocated_bytes),
    )


def soundness_problems(record: RunRecord) -> list[str]:
    """Reasons why a run is unfit as evidence, one line each: a constant loss, zero gradients."""
    try:
        problems = [*order_faults(record), *validity_doubts(record)]
        norms = record.steps["grad_norm"]
        if len(norms) and not norms.null_count and not np.any(as_numpy(norms)):
            problems.insert(0, "its gradients are zero at every step")
    except RecordError as error:
        return [str(error)]
    return problems


def _padded_tokens(record: RunRecord) -> int | None:
    shapes = record.circumstances["shape"].to_pylist()
    if not shapes or any(shape is None or len(shape) != 2 for shape in shapes):
        return None
    return sum(int(rows * length) for rows, length in shapes)


def _by_step(table: pa.Table, values: Sequence[Any]) -> dict[int, list[Any]]:
    """The values of each of the first steps."""
    found: dict[int, list[Any]] = {}
    for step, value in zip(as_numpy(table["step"]).tolist(), values, strict=True):
        if step > KEPT_STEPS:
            break
        found.setdefault(step, []).append(value)
    return found


def _hash(*arrays: Any) -> str:
    digest = xxhash.xxh3_64()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _numbers(trace: str, column: str) -> Callable[[RunRecord], Trace | None]:
    """Reads a column of numbers; the stored value of a step is the mean over its rows."""

    def read(record: RunRecord) -> Trace | None:
        table = record.trace(trace)
        if not len(table) or table[column].null_count:
            return None
        values = as_numpy(table[column])
        if not np.all(np.isfinite(values)):
            return None  # reported as a soundness problem; JSON has no such number
        kept = _by_step(table, values.tolist())
        first = tuple(math.fsum(part) / len(part) for part in kept.values())
        return Trace(rows=len(table), digest=_hash(as_numpy(table["step"]), values), first=first)

    return read


def _digests(trace: str, column: str) -> Callable[[RunRecord], Trace | None]:
    """Reads a column of digests."""

    def read(record: RunRecord) -> Trace | None:
        table = record.trace(trace)
        if not len(table) or table[column].null_count:
            return None
        values = as_numpy(table[column])
        kept = _by_step(table, values.tolist())
        first = tuple(_hash(np.array(part, dtype=np.uint64))[:8] for part in kept.values())
        return Trace(rows=len(table), digest=_hash(as_numpy(table["step"]), values), first=first)

    return read


def _order(record: RunRecord) -> Trace | None:
    """The rows of each micro-batch, in order."""
    table = record.micro_batches
    if not len(table) or table["sample_ids"].null_count:
        return None
    ids = table["sample_ids"].combine_chunks()
    flat, ends = ids.flatten(), as_numpy(pa.chunked_array([ids.value_lengths()]))
    values = as_numpy(pa.chunked_array([flat]))
    rows = np.split(values, np.cumsum(ends)[:-1])
    kept = _by_step(table, rows)
    first = tuple(_hash(*part)[:8] for part in kept.values())
    return Trace(rows=len(values), digest=_hash(as_numpy(table["step"]), ends, values), first=first)


def _rates(record: RunRecord) -> Trace | None:
    table = record.steps
    if not len(table) or table["learning_rate"].null_count:
        return None
    rates = table["learning_rate"].combine_chunks()
    values = as_numpy(pa.chunked_array([rates.flatten()]))
    counts = as_numpy(pa.chunked_array([rates.value_lengths()]))
    starts = (np.cumsum(counts) - counts)[:KEPT_STEPS]
    first = tuple(values[starts].tolist())
    return Trace(rows=len(values), digest=_hash(counts, values), first=first)


TRACES: dict[str, TraceRow] = {
    "data_order": TraceRow("order of the rows", _order),
    "batch_content": TraceRow("content of the batches", _digests("micro_batches", "batch_content")),
    "loss_trace": TraceRow("loss of each step", _numbers("micro_batches", "task_loss")),
    "grad_norm": TraceRow("norm of the raw gradients", _numbers("steps", "grad_norm")),
    "learning_rate": TraceRow("learning rate", _rates),
    "weights": TraceRow("weights after each step", _digests("steps", "weights")),
}
"""In causal order: the first trace that differs is nearest to the cause."""
