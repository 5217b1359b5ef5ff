"""How many steps planned runs make and how long they take, from earlier records of the same.

What no earlier record shows is unknown. Nothing is guessed from the sizes of a model or a data set.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RecordError
from harness.results.folders import RECORDS
from harness.results.record import HEADER, RunRecord
from harness.spec.case import RunSpec

__all__ = ["Expected", "Forecast", "total_s"]

_FREE = {"seed", "max_steps", "num_epochs"}
"""Fields of a recipe that change no duration of a step."""
_NEWEST = 200
"""Records that are read at most; they are read from the newest on."""


@dataclass(frozen=True)
class Expected:
    """What is known of a run before it begins."""

    steps: int | None
    """Optimizer updates; None: only its epochs are known."""
    loop_s: float | None
    """Seconds in the loop; None: no earlier record shows them."""


class Forecast:
    """Expectations from the records in the output folders `where`, or in folders of such."""

    def __init__(self, where: Iterable[Path]) -> None:
        """Read the headers of the newest records. What cannot be read is left out."""
        found = {
            path.parent
            for folder in where
            for pattern in (f"{RECORDS}/*/{HEADER}", f"*/{RECORDS}/*/{HEADER}")
            for path in folder.glob(pattern)
        }
        newest = sorted(found, key=lambda path: (path / HEADER).stat().st_mtime, reverse=True)
        self._records: dict[str, list[RunRecord]] = {}
        for path in newest[:_NEWEST]:
            try:
                record = RunRecord(path)
            except RecordError:
                continue
            if isinstance(record.spec, RunSpec) and record.header.status == "completed":
                self._records.setdefault(_key(record.spec), []).append(record)

    def of(self, spec: RunSpec) -> Expected:
        """What is known of the run `spec`, from the newest record that shows it."""
        earlier = self._records.get(_key(spec), ())
        steps = spec.stop_after or spec.recipe.max_steps
        if steps is None:
            lengths = [h.steps_per_epoch for record in earlier if (h := record.header)]
            per_epoch = next((length for length in lengths if length), None)
            steps = per_epoch and per_epoch * spec.recipe.num_epochs
        timed = [
            record.header.wall_s / record.header.steps
            for record in earlier
            if record.header.wall_s and record.header.steps and not record.header.resumed_from
        ]
        return Expected(steps, steps * timed[0] if steps and timed else None)


def total_s(runs: Sequence[tuple[RunSpec, float]], jobs: int | None) -> float:
    """Seconds that runs of known durations take, if they start in this order as there is room.

    `jobs` as in `run_all`.
    """
    places = jobs or min((_places(spec) for spec, _ in runs), default=1)
    free_at = [0.0] * places
    for _, seconds in runs:
        heapq.heappush(free_at, heapq.heappop(free_at) + seconds)
    return max(free_at)


def _places(spec: RunSpec) -> int:
    """How many runs such as `spec` there is room for at the same time."""
    if spec.case.device != "cpu":
        return 1
    return max(1, (os.cpu_count() or 1) // (spec.recipe.num_threads * spec.case.world_size))


def _key(spec: RunSpec) -> str:
    """Equal for runs of which each step takes the same time."""
    case = spec.case
    recipe = spec.recipe.model_dump(mode="json", exclude=_FREE)
    where = [case.workload, case.device, case.libraries, spec.loop, spec.detail, spec.observe]
    return json.dumps([where, case.world_size, case.options, recipe], sort_keys=True, default=str)
