"""Validity checks on a single record, whatever it is compared with.

Two runs with the same fault agree in every value. These checks report the fault in each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.comparison.rates import rate_faults
from harness.results.arrow import as_numpy
from harness.results.levels import not_recorded
from harness.results.record import RunRecord
from harness.spec.case import RunSpec
from harness.units import counted

__all__ = ["order_faults", "validity_doubts"]


def order_faults(record: RunRecord) -> Iterator[str]:
    """Traces whose rows are not 1, 2, 3, ...: such a record cannot be aligned with another."""
    keys = {
        "steps": (record.steps, ("step",)),
        "micro-batches": (record.micro_batches, ("step", "micro_batch")),
        "tensors": (record.tensors, ("step", "tensor")),
    }
    unnumbered = [
        name
        for name, (table, columns) in keys.items()
        if any(table[column].null_count for column in columns)
    ]
    if unnumbered:
        yield f"the {' and '.join(unnumbered)} of its trace are out of order or incomplete"
        return
    steps = as_numpy(record.steps["step"])
    if not np.array_equal(steps, np.arange(1, len(steps) + 1)):
        yield "the steps of its trace are out of order or incomplete"
    micro = record.micro_batches
    owner, number = as_numpy(micro["step"]), as_numpy(micro["micro_batch"])
    starts = np.flatnonzero(
        np.diff(owner, prepend=owner[:1] - 1)
    )  # the first row always starts one
    expected = np.arange(1, len(owner) + 1) - np.repeat(starts, np.diff(starts, append=len(owner)))
    if np.any(np.diff(owner) < 0) or not np.array_equal(number, expected):
        yield "the micro-batches of its trace are out of order or incomplete"
    if not _tensors_complete(record):
        yield "the tensors of its trace are out of order or incomplete"


def _name_faults(record: RunRecord) -> Iterator[str]:
    """Doubts about parameter names: learning rates belong to them, so each must be a tensor."""
    names, table = record.header.parameter_names, record.tensors
    if len({*names}) < len(names):
        yield "its header names a parameter twice"
    elif len(table) and not {*names} <= {*table["tensor"].unique().to_pylist()}:
        yield "its header names parameters that are no tensors of its trace"


def _tensors_complete(record: RunRecord) -> bool:
    """Whether the trace holds each parameter once at each required step.

    A training may go on with further parameters; none may vanish.
    """
    table = record.tensors
    if not len(table):
        return "tensors" not in record.header.traces
    owner = as_numpy(table["step"])
    names = as_numpy(
        pa.chunked_array([table["tensor"].unify_dictionaries().combine_chunks().indices])
    )
    last = len(record.steps)
    held = [step for step in range(last + 1) if step < 2 or step % record.header.tensors_every == 0]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    if owner[starts].tolist() != held:
        return False
    before: npt.NDArray[Any] = names[:0]
    for block in np.split(names, starts[1:]):
        if np.array_equal(block, before):
            continue
        if len(np.unique(block)) != len(block) or not np.all(np.isin(before, block)):
            return False
        if len(block) == len(before):  # the same parameters in another order
            return False
        before = block
    return True


def validity_doubts(record: RunRecord) -> Iterator[str]:
    """Values whose agreement proves nothing: missing, not finite, or constant in training."""
    header, steps, micro = record.header, record.steps, record.micro_batches
    if header.status not in ("completed", "stopped"):  # what is absent follows from that
        yield from _not_finite_values(record)
        return
    if len(steps) < 2:
        recorded = counted(len(steps), "step")
        yield f"only {recorded} recorded, which shows no change over time; train for 2 or more"
    asked = header.steps_expected
    if header.status == "completed" and asked not in (None, len(steps)):
        yield f"its recipe asks for {counted(asked or 0, 'step')}, but its trace holds {len(steps)}"
    if (header.steps, header.micro_batches) != (len(steps), len(micro)):
        yield (
            f"its header counts {counted(header.steps, 'step')} and "
            f"{counted(header.micro_batches, 'micro-batch')}, "
            f"but its trace holds {len(steps)} and {len(micro)}"
        )
    if len(micro):
        bare = np.setdiff1d(as_numpy(steps["step"]), as_numpy(micro["step"]))
        if len(bare):
            yield f"its micro-batches are incomplete: step {bare[0]} has none"
    absent, due = not_recorded(record), _due(record)
    for table in (due, micro, record.tensors):
        yield from _missing(table, absent)
    yield from _missing(steps, _RECORDED_EVERY)
    yield from _name_faults(record)
    yield from rate_faults(record)
    yield from _not_finite_values(record)
    losses = _losses(record)
    if not header.final_metrics and isinstance(record.spec, RunSpec):
        yield "the trained model was not evaluated"
    yield from (sentence.removesuffix(".") for sentence in header.unseen)
    for number, evaluation in enumerate(header.evaluations, start=1):
        which = "final" if number == len(header.evaluations) else f"step {evaluation.step}"
        for name, value in evaluation.metrics.items():
            if not np.isfinite(value):
                yield f"{which} {name} is {value}"
    if len(steps) >= 2:
        for name in losses:
            yield from _constant(micro, name)
        moving = ["gradients", "weights", *([] if _keeps_no_state(record) else ["optimizer_state"])]
        for name in moving:
            if name not in absent and len(due) >= 2:
                yield from _constant(due, name)
    dissent = record.dissent
    if len(dissent):
        step, rank, tensor = (dissent[name][0].as_py() for name in ("step", "rank", "tensor"))
        yield f"its processes diverge at step {step}: rank {rank} differs from rank 0 in {tensor}"
    ids = pc.list_flatten(micro["sample_ids"])
    unknown = int(np.count_nonzero(as_numpy(ids) == -1))
    if unknown:
        rows, are = counted(unknown, "row"), "is" if unknown == 1 else "are"
        yield f"{rows} {are} not from the training set"


def _losses(record: RunRecord) -> list[str]:
    micro = record.micro_batches
    return [name for name in ("loss", "task_loss") if micro[name].null_count < len(micro)]


def _not_finite_values(record: RunRecord) -> Iterator[str]:
    if "grad_norm" not in not_recorded(record):
        yield from _not_finite(_without_skipped(record, _due(record)), "grad_norm")
    for name in _losses(record):
        yield from _not_finite(record.micro_batches, name)


_NOT_IN_EVERY_RECORD = ("sample_ids", "rows", "label_content", "loss", "task_loss", "rate_of")
"""Columns that only a workload fills, or only a batch with rows. Without both losses the stage is
not recorded."""
_RECORDED_EVERY = ("grad_norm", "gradients", "weights", "optimizer_state")
"""Columns that `--every` leaves out at the other steps."""


def _due(record: RunRecord) -> pa.Table:
    """The steps without those at which `tensors_every` leaves out gradients and weights."""
    steps, every = record.steps, max(1, record.header.tensors_every)
    number = as_numpy(steps["step"])
    held = (number == 1) | (number % every == 0)
    for name in _RECORDED_EVERY:
        held |= ~pc.is_null(steps[name]).to_numpy()
    return steps if held.all() else steps.filter(pa.array(held))


def _missing(table: pa.Table, left_out: Sequence[str]) -> Iterator[str]:
    for name in table.column_names:
        column = table[name]
        if name in _NOT_IN_EVERY_RECORD and column.null_count == len(table):
            continue
        if column.null_count and name not in left_out:
            row = int(np.flatnonzero(pc.is_null(column).to_numpy())[0])
            yield f"{name} is missing at step {table['step'][row].as_py()}"


def _not_finite(table: pa.Table, name: str) -> Iterator[str]:
    values: npt.NDArray[Any] = as_numpy(table[name])
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        step = table["step"][int(bad[0])].as_py()
        yield f"{name} is {values[bad[0]]} at step {step}, which is never an agreement"


def _without_skipped(record: RunRecord, steps: pa.Table) -> pa.Table:
    """The steps without those that a loss scaler skipped: there an overflow is no fault."""
    if (
        not isinstance(record.spec, RunSpec)
        or record.spec.recipe.precision != "fp16"
        or not len(steps)
    ):
        return steps
    weights = as_numpy(steps["weights"])
    before = np.roll(weights, 1)
    before[0] = int(record.header.initial_weights or "0", 16)
    return steps.filter(pa.array(weights != before))


def _keeps_no_state(record: RunRecord) -> bool:
    """Whether the optimizer keeps nothing between steps, as SGD without momentum does."""
    states = record.tensors["optimizer_state"]
    return len(states) > 0 and states.null_count == 0 and not as_numpy(states).any()


def _constant(table: pa.Table, name: str) -> Iterator[str]:
    if len(table) and len(table[name].unique()) == 1:
        yield f"{name} never changed, but training changes it at every step"
