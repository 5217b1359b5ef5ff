"""One of two runs, as the signatures of causes read it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from harness.comparison.circumstances import rows_in_training_set
from harness.comparison.describe import highest_rates
from harness.comparison.factors import UNIFORM, norms_at, one_factor
from harness.results.arrow import as_numpy, filled, int32
from harness.results.ranks import rank_of
from harness.results.record import OBSERVATIONS_KEPT, RunRecord

__all__ = ["RunView", "close"]

_STEPS_READ = 32  # enough steps to see how a loop changes its gradients


@dataclass(frozen=True)
class RunView:
    """One of the two runs."""

    record: RunRecord
    label: str

    def setting(self, name: str) -> Any:
        """A setting before the first step; None if it is not known."""
        return self.record.header.settings.get(name)

    def observed(self, what: str) -> list[int]:
        """The first steps with this observation; see `harness.tracing.observations`."""
        return [seen.step for seen in self.record.header.observed.get(what, ())]

    def values_observed(self, what: str) -> list[float]:
        """The values of these observations."""
        seen = self.record.header.observed.get(what, ())
        return [each.value for each in seen if each.value is not None]

    @property
    def world_size(self) -> int:
        """Number of processes that trained together."""
        return self.record.spec.processes

    def batches_at(self, step: int) -> list[tuple[int, int, list[int]]]:
        """Rank, number on that rank (from 1) and row ids of each micro-batch of a step."""
        first, last = np.searchsorted(self._owners, [step, step + 1])
        table = self.record.micro_batches.slice(first, last - first)
        columns = (table[name].to_pylist() for name in ("micro_batch", "sample_ids"))
        return [
            (*rank_of(through, self.world_size), rows or [])
            for through, rows in zip(*columns, strict=True)
        ]

    def each_batch(self) -> Iterator[list[int]]:
        """The row ids of each micro-batch, in order."""
        ends = np.cumsum(self._sizes)
        for start, end in zip(ends - self._sizes, ends, strict=True):
            yield self.rows[start:end].tolist()

    @cached_property
    def rows(self) -> npt.NDArray[np.int32]:
        """All row ids in training order; with several processes, round by round."""
        ids = pc.list_flatten(self.record.micro_batches["sample_ids"])
        return as_numpy(filled(ids, -1)).astype(np.int32)

    def rows_before(self, step: int) -> npt.NDArray[np.int32]:
        """The row ids of all steps before `step`."""
        return self.rows[: int(self._sizes[: np.searchsorted(self._owners, step)].sum())]

    @cached_property
    def trained_steps(self) -> npt.NDArray[np.int32]:
        """The steps that have micro-batches."""
        return np.unique(self._owners)

    @cached_property
    def _owners(self) -> npt.NDArray[np.int32]:
        """The step of each micro-batch, in order."""
        return as_numpy(self.record.micro_batches["step"])

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int64]:
        """Number of rows of each micro-batch."""
        lengths = pc.list_value_length(self.record.micro_batches["sample_ids"])
        return as_numpy(filled(lengths, 0)).astype(np.int64)

    def generators_at(self, step: int) -> dict[tuple[int, int], int]:
        """Digests of the random generators at one step, by rank and micro-batch number."""
        first, last = np.searchsorted(self._owners, [step, step + 1])
        table = self.record.micro_batches.slice(first, last - first)
        pairs = zip(table["micro_batch"].to_pylist(), table["rng"].to_pylist(), strict=True)
        return {rank_of(through, self.world_size): rng for through, rng in pairs}

    @cached_property
    def rates(self) -> list[float]:
        """The highest learning rate of each step."""
        return highest_rates(self.record)

    @property
    def has_one_rate(self) -> bool:
        """Whether no step has two learning rates."""
        lengths = pc.list_value_length(self.record.steps["learning_rate"])
        return bool(pc.all(pc.less_equal(lengths, 1)).as_py())

    @cached_property
    def grad_norms(self) -> list[float]:
        """Total norm of the raw gradients at each step; NaN where not recorded."""
        column = filled(self.record.steps["grad_norm"], math.nan)
        norms: list[float] = as_numpy(column).tolist()
        return norms

    def circumstance(self, step: int, column: str) -> list[Any]:
        """A column of the trace `circumstances` for the micro-batches of one step."""
        table = self.record.circumstances
        values: list[Any] = table[column].filter(pc.equal(table["step"], int32(step))).to_pylist()
        return values

    def loss_factor(self, step: int) -> float:
        """Backpropagated loss over mean loss at a step; see `harness.tracing.observations`."""
        seen = self.record.header.observed.get("loss_scaled", ())
        if len(seen) >= OBSERVATIONS_KEPT and step > seen[-1].step:
            return math.nan  # not recorded that late
        return next((each.value for each in seen if each.step == step and each.value), 1.0)

    def losses_at(self, step: int) -> list[float]:
        """The loss of each micro-batch of a step."""
        table = self.record.micro_batches
        rows = table.filter(pc.equal(table["step"], int32(step)))
        return [loss for loss in rows["loss"].to_pylist() if loss is not None]

    @property
    def computes_in_half_precision(self) -> bool:
        """Whether a forward pass computes in another type than float32 or float64."""
        types = self.record.circumstances["compute_dtype"].unique().to_pylist()
        return bool(set(types) - {"float32", "float64", None, ""})

    @property
    def rows_in_set(self) -> int:
        """Number of rows of the training set."""
        return rows_in_training_set(self.record)

    @property
    def rows_per_epoch(self) -> int:
        """Number of rows that an epoch uses; without a last batch that is dropped."""
        recipe = self.record.run_spec.recipe
        size = recipe.per_device_batch_size * self.world_size
        return self.rows_in_set // size * size if recipe.drop_last else self.rows_in_set

    def epoch(self, number: int) -> list[int]:
        """The row ids of an epoch, counted from 0; fewer if the run ended within it."""
        size = self.rows_per_epoch
        rows: list[int] = self.rows[number * size : (number + 1) * size].tolist()
        return rows

    def epoch_begun_by(self, step: int) -> int | None:
        """The epoch that begins with this step, counted from 0; None if none does."""
        per_epoch = self.record.header.steps_per_epoch
        if not per_epoch or (step - 1) % per_epoch:
            return None
        return (step - 1) // per_epoch

    @property
    def repeats_order(self) -> bool:
        """Whether the second epoch has the order of the first."""
        first, second = self.epoch(0), self.epoch(1)
        return bool(second) and second == first[: len(second)]

    @property
    def unsharded(self) -> bool:
        """Whether all processes read the same rows in the first step."""
        if self.world_size == 1:
            return False
        by_rank: dict[int, list[int]] = {}
        for rank, _, rows in self.batches_at(1):
            by_rank.setdefault(rank, []).extend(rows)
        return len(by_rank) == self.world_size and len({tuple(r) for r in by_rank.values()}) == 1

    def window(self, step: int) -> int:
        """Number of micro-batches of one process in one step."""
        return sum(rank == 0 for rank, _, _ in self.batches_at(step))

    @cached_property
    def clip_norm(self) -> float | None:
        """The norm to which this run clips its gradients; None if it does not clip them.

        A run clips if its updates scale all tensors by one factor, to the same norm at each step
        whose raw norm is larger, and change nothing at the other steps.
        """
        limit, untouched = None, 0.0
        for step in range(1, min(len(self.grad_norms), _STEPS_READ) + 1):
            raw = norms_at(self.record, step, "gradient")
            applied = norms_at(self.record, step, "applied")
            ratios = {name: applied.get(name, math.nan) / raw[name] for name in raw if raw[name]}
            factor = one_factor(ratios)
            if factor is None or not 0 < factor <= 1 + UNIFORM:
                return None  # gradients of zero are not clipped ones
            if factor > 1 - 1e-5:
                untouched = max(untouched, math.hypot(*raw.values()))
                continue
            total = math.hypot(*applied.values())
            if limit is not None and not close(total, limit):
                return None
            limit = total
        return None if limit is None or untouched > 1.001 * limit else limit

    @cached_property
    def initial_digests(self) -> dict[str, int]:
        """Digests of the initial weights, by parameter name."""
        table = self.record.tensors
        rows = table.filter(pc.equal(table["step"], int32(0)))
        return dict(zip(rows["tensor"].to_pylist(), rows["weight"].to_pylist(), strict=True))

    @cached_property
    def final_digests(self) -> dict[str, int]:
        """Digests of the weights after the last recorded step, by parameter name."""
        table = self.record.tensors
        if not len(table):
            return {}
        last = int32(table["step"][len(table) - 1].as_py())
        rows = table.filter(pc.equal(table["step"], last))
        return dict(zip(rows["tensor"].to_pylist(), rows["weight"].to_pylist(), strict=True))

    def may_have(self, parameter: str) -> bool:
        """Whether the run has a parameter of that name, or its names are not known."""
        names = self.record.header.parameter_names
        return not names or parameter in names

    def moves(self, tensor: str) -> bool | None:
        """Whether the weight differs after the training; None if it is not recorded."""
        digests = self.initial_digests.get(tensor), self.final_digests.get(tensor)
        return None if None in digests else digests[0] != digests[1]

    @property
    def parameters_named(self) -> int:
        """Number of tensors whose initial weights are recorded."""
        return len(self.initial_digests)

    def initial_norm(self, tensor: str) -> float | None:
        """2-norm of one initial weight; None if it is not recorded."""
        return norms_at(self.record, 0, "weight").get(tensor)

    def applied_norm(self, step: int) -> float | None:
        """Total norm of the gradients that an update used; None if it is not recorded."""
        norms = norms_at(self.record, step, "applied")
        return math.hypot(*norms.values()) if norms else None

    @cached_property
    def scales_gradients(self) -> bool:
        """Whether an update used other gradients than the backward passes produced."""
        for step in range(1, min(len(self.grad_norms), _STEPS_READ) + 1):
            raw = norms_at(self.record, step, "gradient")
            applied = norms_at(self.record, step, "applied")
            if any(abs(applied.get(n, 0.0) - norm) > 1e-5 * norm for n, norm in raw.items()):
                return True
        return False


def close(value: float, other: float, within: float = 1e-3) -> bool:
    """Whether two numbers are equal within the rounding of norms in single precision."""
    return bool(np.isfinite(value) and np.isfinite(other)) and abs(value - other) <= within * abs(
        other
    )
