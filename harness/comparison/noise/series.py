"""The time series of a run as arrays, and the differences of two runs, without an outcome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from harness.errors import RecordError
from harness.results.arrow import as_numpy, filled
from harness.results.record import RunRecord

__all__ = ["Array", "RunSeries", "difference_series", "norms", "signed_means"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunSeries:
    """Loss [steps], log gradient norm [steps] and weight sketches [steps + 1, tensors, k]."""

    loss: Array
    grad_norm: Array
    weights: Array
    tensors: list[str]
    metrics: list[dict[str, float]]
    """The metrics of each evaluation."""
    rows: int
    """The smallest number of rows of an evaluation."""
    evaluated: list[tuple[int, int, list[str]]]
    """Step, number of rows and metric names of each evaluation."""

    @classmethod
    def of(cls, record: RunRecord) -> RunSeries:
        """Read a record. Raises `RecordError` if it holds no sketches or is incomplete."""
        table = record.trace("sketches")
        steps = len(record.steps)
        rule = "a noise band needs records with a sketch of each parameter at each step"
        remedy = "run both with --noise, or trace a candidate with --noise 0"
        count = len(table) // (steps + 1)
        owner = np.repeat(np.arange(steps + 1), count)
        if not count or not np.array_equal(owner, as_numpy(table["step"])):
            raise RecordError(rule, f"{record.folder}, {len(table)} sketches", remedy)
        names = table["tensor"].unify_dictionaries().combine_chunks()
        tensors = names[:count].to_pylist()
        flat = table["sketch"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        evaluations = record.header.evaluations
        with np.errstate(divide="ignore"):
            return cls(
                loss=_losses(record, steps),
                grad_norm=np.log(as_numpy(record.steps["grad_norm"])),
                weights=flat.reshape(steps + 1, count, -1),
                tensors=tensors,
                metrics=[each.metrics for each in evaluations],
                rows=min((each.rows for each in evaluations), default=0),
                evaluated=[(each.step, each.rows, sorted(each.metrics)) for each in evaluations],
            )

    @property
    def movement(self) -> Array:
        """Sketches of the difference from the initial weights."""
        movement: Array = self.weights - self.weights[:1]
        return movement


def _losses(record: RunRecord, steps: int) -> Array:
    """The loss of each update, however it is divided into micro-batches.

    The mean over the rows of the workload's own loss; without one the sum of the losses that go
    backward, averaged over the processes.
    """
    micro = record.micro_batches
    owner = as_numpy(micro["step"])
    if micro["task_loss"].null_count:
        sums = np.bincount(owner, as_numpy(micro["loss"]), steps + 1)
        return _of_steps(sums / record.spec.processes)
    rows = as_numpy(filled(pc.list_value_length(micro["sample_ids"]), 1)).astype(np.float64)
    sums = np.bincount(owner, rows * as_numpy(micro["task_loss"]), steps + 1)
    return _of_steps(sums / np.maximum(np.bincount(owner, rows, steps + 1), 1))


def _of_steps(values: Array) -> Array:
    found: Array = values[1:]
    return found


def norms(sketches: Array) -> Array:
    """[steps, tensors, k] -> [steps, 1 + tensors]: norm of all weights, then of each tensor."""
    squares = np.square(sketches).sum(axis=2)
    norms: Array = np.sqrt(np.concatenate([squares.sum(axis=1, keepdims=True), squares], axis=1))
    return norms


def _weight_differences(one: RunSeries, two: RunSeries) -> Array:
    """Sketches of `two` - `one`: initial weights at index 0, movement at each step."""
    differences: Array = two.movement - one.movement
    differences[0] = two.weights[0] - one.weights[0]
    return differences


def difference_series(one: RunSeries, two: RunSeries) -> Array:
    """Absolute differences [steps + 1, 3 + tensors] of a pair.

    The columns are loss, log gradient norm, all weights, and each tensor. At step 0 only weights
    can differ.
    """
    scalars = np.stack([np.abs(two.loss - one.loss), np.abs(two.grad_norm - one.grad_norm)], axis=1)
    before = np.zeros((1, 2))
    return np.concatenate(
        [np.concatenate([before, scalars]), norms(_weight_differences(one, two))], axis=1
    )


def signed_means(one: RunSeries, two: RunSeries) -> dict[str, float]:
    """Means of the signed differences of a pair over all steps."""
    differences, movement = (two.movement - one.movement)[1:], one.movement[1:]
    moved = float(np.square(movement).sum())
    initial = one.weights[:1]
    along = np.sqrt(moved * len(movement) * np.square(initial).sum())
    means = {
        "mean_loss": float(np.mean(two.loss - one.loss)),
        "mean_grad_norm": float(np.mean(two.grad_norm - one.grad_norm)),
        "along_movement": float((differences * movement).sum()) / moved if moved else 0.0,
        "along_initial_weights": float((differences * initial).sum() / along) if along else 0.0,
    }
    ends = [run.metrics[-1] for run in (one, two) if run.metrics]
    if len(ends) == 2 and all("loss" in end for end in ends):
        means["evaluation_loss"] = ends[1]["loss"] - ends[0]["loss"]
    return means
