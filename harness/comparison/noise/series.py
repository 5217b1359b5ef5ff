"""What a run did, as arrays over its steps, and how far two runs are apart; nothing is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.errors import RecordError
from harness.results.arrow import as_numpy
from harness.results.record import RunRecord

__all__ = ["Array", "RunSeries", "norms", "series", "signed"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunSeries:
    """What a run did: loss [steps], log gradient norm [steps], sketches [steps + 1, tensors, k]."""

    loss: Array
    grad_norm: Array
    weights: Array
    tensors: list[str]
    metrics: list[dict[str, float]]
    """Of each evaluation."""
    rows: int
    """That the fewest of the evaluations took."""
    evaluated: list[tuple[int, int, list[str]]]
    """Of each evaluation its step, its rows and the names of its metrics."""

    @classmethod
    def of(cls, record: RunRecord) -> RunSeries:
        """Raises `RecordError` where the record holds no sketches, or is not whole."""
        table = record.trace("sketches")
        steps = len(record.steps)
        rule = "noise is told from records with a sketch of each parameter at each step"
        remedy = "run both sides with --noise"
        count = len(table) // (steps + 1)
        owner = np.repeat(np.arange(steps + 1), count)
        if not count or not np.array_equal(owner, as_numpy(table["step"])):
            raise RecordError(rule, f"{record.folder}, {len(table)} sketches", remedy)
        names = table["tensor"].unify_dictionaries().combine_chunks()
        tensors = names[:count].to_pylist()
        flat = table["sketch"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        owner = as_numpy(record.micro_batches["step"])
        losses = np.bincount(owner, as_numpy(record.micro_batches["loss"]), steps + 1)
        evaluations = record.header.evaluations
        with np.errstate(divide="ignore"):
            return cls(
                loss=(losses / np.maximum(np.bincount(owner, minlength=steps + 1), 1))[1:],
                grad_norm=np.log(as_numpy(record.steps["grad_norm"])),
                weights=flat.reshape(steps + 1, count, -1),
                tensors=tensors,
                metrics=[each.metrics for each in evaluations],
                rows=min((each.rows for each in evaluations), default=0),
                evaluated=[(each.step, each.rows, sorted(each.metrics)) for each in evaluations],
            )

    @property
    def movement(self) -> Array:
        """Sketches of the way from the initial weights."""
        way: Array = self.weights - self.weights[:1]
        return way


def norms(sketches: Array) -> Array:
    """[steps, tensors, k] -> [steps, 1 + tensors]: of all weights, then of each tensor."""
    squares = np.square(sketches).sum(axis=2)
    norms: Array = np.sqrt(np.concatenate([squares.sum(axis=1, keepdims=True), squares], axis=1))
    return norms


def _apart(one: RunSeries, two: RunSeries) -> Array:
    """Sketches of `two` less `one`: of the initial weights at 0, of the movement at each step."""
    apart: Array = two.movement - one.movement
    apart[0] = two.weights[0] - one.weights[0]
    return apart


def series(one: RunSeries, two: RunSeries) -> Array:
    """Differences [steps + 1, 3 + tensors]: loss, log gradient norm, all weights, each tensor's.

    At step 0 only weights have one.
    """
    scalars = np.stack([np.abs(two.loss - one.loss), np.abs(two.grad_norm - one.grad_norm)], axis=1)
    before = np.zeros((1, 2))
    return np.concatenate([np.concatenate([before, scalars]), norms(_apart(one, two))], axis=1)


def signed(one: RunSeries, two: RunSeries) -> dict[str, float]:
    """Means of the signed differences of a pair, over the whole run."""
    apart, way = (two.movement - one.movement)[1:], one.movement[1:]
    moved = float(np.square(way).sum())
    initial = one.weights[:1]
    along = np.sqrt(moved * len(way) * np.square(initial).sum())
    found = {
        "mean_loss": float(np.mean(two.loss - one.loss)),
        "mean_grad_norm": float(np.mean(two.grad_norm - one.grad_norm)),
        "along_movement": float((apart * way).sum()) / moved if moved else 0.0,
        "along_initial_weights": float((apart * initial).sum() / along) if along else 0.0,
    }
    ends = [course.metrics[-1] for course in (one, two) if course.metrics]
    if len(ends) == 2 and all("loss" in end for end in ends):
        found["evaluation_loss"] = ends[1]["loss"] - ends[0]["loss"]
    return found
