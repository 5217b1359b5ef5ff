"""One of two runs, as the signatures of causes ask about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.comparison.describe import UNIFORM, highest_rates, norms_at, one_factor
from harness.results.arrow import as_numpy, filled
from harness.results.ranks import rank_of
from harness.results.record import OBSERVATIONS_KEPT, RunRecord

__all__ = ["RunView", "close"]

_ENOUGH = 32  # steps that show how a loop treats its gradients


@dataclass(frozen=True)
class RunView:
    """One of the two runs."""

    record: RunRecord
    label: str

    def setting(self, name: str) -> Any:
        """A setting before the first step; None where it is not known."""
        return self.record.header.settings.get(name)

    def observed(self, what: str) -> list[int]:
        """The first steps at which something was seen; see `harness.tracing.observations`."""
        return [seen.step for seen in self.record.header.observed.get(what, ())]

    def values_observed(self, what: str) -> list[float]:
        """The numbers that belong to those."""
        seen = self.record.header.observed.get(what, ())
        return [each.value for each in seen if each.value is not None]

    @property
    def world_size(self) -> int:
        """Number of processes that trained together."""
        return self.record.spec.case.world_size

    def batches_at(self, step: int) -> list[tuple[int, int, list[int]]]:
        """Of each micro-batch of a step in order: its rank, its number in it (from 1), its rows."""
        first, last = np.searchsorted(self._owners, [step, step + 1])
        table = self.record.micro_batches.slice(first, last - first)
        columns = (table[name].to_pylist() for name in ("micro_batch", "sample_ids"))
        return [
            (*rank_of(through, self.world_size), rows or [])
            for through, rows in zip(*columns, strict=True)
        ]

    def each_batch(self) -> Iterator[list[int]]:
        """The rows of each micro-batch, in order."""
        ends = np.cumsum(self._sizes)
        for start, end in zip(ends - self._sizes, ends, strict=True):
            yield self.rows[start:end].tolist()

    @cached_property
    def rows(self) -> npt.NDArray[np.int32]:
        """All rows in the order of their training; with several processes round by round."""
        ids = pc.list_flatten(self.record.micro_batches["sample_ids"])
        return as_numpy(ids).astype(np.int32)

    def rows_before(self, step: int) -> npt.NDArray[np.int32]:
        """The rows of all steps before that one."""
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
        """How many rows each micro-batch has."""
        lengths = pc.list_value_length(self.record.micro_batches["sample_ids"])
        return as_numpy(filled(lengths, 0)).astype(np.int64)

    def generators_at(self, step: int) -> dict[tuple[int, int], int]:
        """Digest of the generators by rank and number of the micro-batch, in one step."""
        first, last = np.searchsorted(self._owners, [step, step + 1])
        table = self.record.micro_batches.slice(first, last - first)
        pairs = zip(table["micro_batch"].to_pylist(), table["rng"].to_pylist(), strict=True)
        return {rank_of(through, self.world_size): rng for through, rng in pairs}

    @cached_property
    def rates(self) -> list[float]:
        """The highest learning rate of each step."""
        return highest_rates(self.record)

    @cached_property
    def grad_norms(self) -> list[float]:
        """Total norm of the raw gradients at each step; NaN where it was not recorded."""
        column = filled(self.record.steps["grad_norm"], math.nan)
        norms: list[float] = as_numpy(column).tolist()
        return norms

    def circumstance(self, step: int, column: str) -> list[Any]:
        """A column of the circumstances of the micro-batches of one step."""
        table = self.record.circumstances
        values: list[Any] = (
            table[column].filter(pc.equal(table["step"], pa.scalar(step, pa.int32()))).to_pylist()
        )
        return values

    def loss_factor(self, step: int) -> float:
        """The factor on the mean of a step's losses; see `harness.tracing.observations`."""
        seen = self.record.header.observed.get("loss_scaled", ())
        if len(seen) >= OBSERVATIONS_KEPT and step > seen[-1].step:
            return math.nan  # not known
        return next((each.value for each in seen if each.step == step and each.value), 1.0)

    @property
    def rows_in_set(self) -> int:
        """Rows of the training set."""
        header = self.record.header
        return round(header.samples / header.epochs) if header.epochs else 0

    @property
    def rows_per_epoch(self) -> int:
        """Rows that an epoch takes, less those of a last batch that is left out."""
        recipe = self.record.spec.recipe
        size = recipe.per_device_batch_size * self.world_size
        return self.rows_in_set // size * size if recipe.drop_last else self.rows_in_set

    def window(self, step: int) -> int:
        """Micro-batches of one process in one step."""
        return sum(rank == 0 for rank, _, _ in self.batches_at(step))

    @cached_property
    def clip_norm(self) -> float | None:
        """The norm that this side's updates never exceed though raw gradients do, if any.

        Told by the gradients that the updates were given: scaled alike in all tensors, to one norm
        wherever the raw norm was above it, and left alone elsewhere.
        """
        limit, untouched = None, 0.0
        for step in range(1, min(len(self.grad_norms), _ENOUGH) + 1):
            raw = norms_at(self.record, step, "gradient")
            applied = norms_at(self.record, step, "applied")
            ratios = {name: applied.get(name, math.nan) / raw[name] for name in raw if raw[name]}
            factor = one_factor(ratios)
            if factor is None or factor > 1 + UNIFORM:
                return None
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
        """Digests of the initial weights, by name."""
        table = self.record.tensors
        rows = table.filter(pc.equal(table["step"], pa.scalar(0, pa.int32())))
        return dict(zip(rows["tensor"].to_pylist(), rows["weight"].to_pylist(), strict=True))

    @property
    def parameters_named(self) -> int:
        """How many parameters and buffers the model has."""
        return len(self.initial_digests)

    def initial_norm(self, tensor: str) -> float | None:
        """2-norm of an initial weight."""
        return norms_at(self.record, 0, "weight").get(tensor)

    def applied_norm(self, step: int) -> float | None:
        """Total norm of the gradients that an update was given; None where it is not known."""
        norms = norms_at(self.record, step, "applied")
        return math.hypot(*norms.values()) if norms else None

    @cached_property
    def scales_gradients(self) -> bool:
        """Whether an update was given other gradients than the backward pass left."""
        for step in range(1, min(len(self.grad_norms), _ENOUGH) + 1):
            raw = norms_at(self.record, step, "gradient")
            applied = norms_at(self.record, step, "applied")
            if any(abs(applied.get(n, 0.0) - norm) > 1e-5 * norm for n, norm in raw.items()):
                return True
        return False


def close(value: float, other: float, within: float = 1e-3) -> bool:
    """Whether two numbers are the same but for what norms in single precision leave open."""
    return bool(np.isfinite(value) and np.isfinite(other)) and abs(value - other) <= within * abs(
        other
    )
