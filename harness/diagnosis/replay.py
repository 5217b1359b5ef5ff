"""Replays of one run with some of its fields switched to another's values: made, kept, counted.

A replay goes no further than it is asked to. One that is to go on from amid the run starts from a
checkpoint, which the first replay writes that needs it. Records are kept by what was run, so that
none is made twice, be it by an earlier try in the same folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.diagnosis.distance import first_value_divergence
from harness.diagnosis.minimize import Subset
from harness.errors import RecordError
from harness.execution.checkpoints import FOLDER, Checkpoints
from harness.execution.parent.runner import Run
from harness.results.divergence import Divergence
from harness.results.record import RunRecord
from harness.spec.case import RunSpec
from harness.spec.recipe import Recipe, build

__all__ = ["SWITCHABLE", "BudgetSpent", "Replay", "Replays", "StepRange"]

SWITCHABLE = frozenset(
    {
        "drop_last",
        "eval_batch_size",
        "eval_every",
        "loss_average",
        "lr_schedule",
        "max_grad_norm",
        "max_steps",
        "num_epochs",
        "warmup_ratio",
        "warmup_steps",
    }
)
"""Fields that no checkpoint holds. What the optimizer's groups hold (its rates, decay and kind), a
checkpoint brings back as it was written with, and seeds and orders act from the first step on."""


class BudgetSpent(Exception):
    """The next replays would take more steps than are left."""


@dataclass(frozen=True)
class StepRange:
    """Which steps replays are to make."""

    last: int | None = None
    """The last one; None: the run's own, with the evaluation after it."""
    start: int = 0
    """The step from whose checkpoint they go on; 0: from the beginning."""


@dataclass(frozen=True)
class Replay:
    """What became of one."""

    record: RunRecord
    first: Divergence | None
    """Where it parts from the reference; None: nowhere that it went."""
    error: str
    """Why it is not there, or not whole."""

    @property
    def same(self) -> bool:
        """Whether it is there, and computes what the reference does."""
        return self.first is None and not self.error


class Replays:
    """The replays of one candidate, compared with its reference."""

    def __init__(
        self,
        reference: RunRecord,
        candidate: RunSpec,
        values: Mapping[str, Any],
        folder: Path,
        make: Callable[[Sequence[Run]], Sequence[RunRecord]],
        budget: int | None = None,
    ) -> None:
        """`values`: of the reference, by the names of recipe fields and options of the workload.

        `make` runs and waits; a run that is refused or fails leaves a record that says so.
        `budget`: steps.
        """
        self.reference = reference
        self.count, self.steps = 0, 0
        self._seen: set[str] = set()
        self._candidate, self._values = candidate, dict(values)
        self._folder, self._make, self._budget = folder, make, budget
        self._whole: dict[Subset, RunRecord] = {}
        self._bases: dict[tuple[int, Subset], RunSpec] = {}

    @property
    def reused(self) -> int:
        """How many of those asked for an earlier try had left."""
        return len(self._seen) - self.count

    def know(self, subset: Subset, record: RunRecord) -> None:
        """`record` is that of the whole run with `subset` switched."""
        self._whole[subset] = record

    def of(self, subsets: Sequence[Subset], stretch: StepRange) -> list[Replay]:
        """The candidate with each of several sets of fields switched, over `stretch`.

        Where such a run parts from the reference before the stretch, so far only. Raises
        `BudgetSpent` before it makes what the budget does not allow.
        """
        found = {
            subset: self._judged(self._whole[subset], stretch.last)
            for subset in subsets
            if subset in self._whole
        }
        waiting = [subset for subset in dict.fromkeys(subsets) if subset not in found]
        while stretch.start and (new := self._without_base(waiting, stretch.start)):
            legs = [self._leg(subset, stretch.start) for subset in new.values()]
            records = self._records(legs)
            for (held, subset), leg, record in zip(new.items(), legs, records, strict=True):
                replay = self._judged(record, stretch.start + 1)
                if replay.same:
                    self._bases[stretch.start, held] = leg
                else:
                    found[subset] = replay
                    waiting.remove(subset)
        specs = [self._spec(subset, stretch) for subset in waiting]
        records = self._records(specs, stretch.start)
        found |= {
            subset: self._judged(record, stretch.last)
            for subset, record in zip(waiting, records, strict=True)
        }
        if stretch == StepRange():
            self._whole |= {s: found[s].record for s in waiting if not found[s].error}
        return [found[subset] for subset in subsets]

    def repeated(self, spec: RunSpec, last: int) -> Replay:
        """The reference's own run made again here, up to step `last`."""
        (record,) = self._records([spec.model_copy(update={"stop_after": last})])
        return self._judged(record, last)

    def clear(self) -> None:
        """Remove the checkpoints; the records stay."""
        for folder in self._folder.glob(f"*/{FOLDER}"):
            shutil.rmtree(folder)

    def _without_base(self, subsets: Sequence[Subset], start: int) -> dict[Subset, Subset]:
        """By what a checkpoint holds of its fields, one of the subsets that no checkpoint fits."""
        new: dict[Subset, Subset] = {}
        for subset in subsets:
            held = subset - SWITCHABLE
            if (start, held) not in self._bases:
                new.setdefault(held, subset)
        return new

    def _leg(self, subset: Subset, start: int) -> RunSpec:
        """From the beginning, with a checkpoint after `start`; it is written before the next."""
        spec = self._spec(subset, StepRange(last=start + 1))
        recipe = spec.recipe.model_copy(update={"save_every": start})
        return spec.model_copy(update={"recipe": recipe})

    def _spec(self, subset: Subset, stretch: StepRange) -> RunSpec:
        recipe: dict[str, Any] = self._candidate.recipe.model_dump()
        if "save_every" not in self._values:  # else saving is one of the suspects
            recipe["save_every"] = None
        options = dict(self._candidate.case.options)
        for name in subset:
            (recipe if name in Recipe.model_fields else options)[name] = self._values[name]
        case = self._candidate.case.model_copy(
            update={"options": options, "arms": {}, "noise": None, "resume_at": None}
        )
        changes: dict[str, Any] = {
            "case": case,
            "recipe": build(Recipe, recipe),
            "stop_after": stretch.last or self._candidate.stop_after,
            "start_from": None,
            "resume_at": None,
            "sketch": True,
            "arm": None,
            "repeat": 1,
        }
        if stretch.start:
            base = self._bases[stretch.start, subset - SWITCHABLE]
            changes["start_from"] = str(self._folder / base.key / FOLDER)
        return self._candidate.model_copy(update=changes)

    def _records(self, specs: Sequence[RunSpec], start: int = 0) -> list[RunRecord]:
        """Of runs that go on from step `start`, those that are there already as they are."""
        missing = [spec for spec in specs if self._kept(spec) is None]
        self._seen |= {spec.key for spec in specs}
        if missing:
            self._restore_bases(missing)
            self._run(missing, start)
        return [RunRecord(self._folder / spec.key) for spec in specs]

    def _restore_bases(self, specs: Sequence[RunSpec]) -> None:
        """An earlier try left the records of its replays, but not their checkpoints."""
        needed = {spec.start_from for spec in specs} - {None}
        gone = [
            leg
            for leg in self._bases.values()
            if (path := self._folder / leg.key / FOLDER) and str(path) in needed
            if Checkpoints(path).newest()[0] is None
        ]
        if gone:
            self._run(gone, 0)
            self._seen |= {leg.key for leg in gone}

    def _kept(self, spec: RunSpec) -> RunRecord | None:
        try:
            record = RunRecord(self._folder / spec.key)
        except RecordError:
            return None
        done = record.header.status in ("completed", "stopped")
        return record if done and record.spec == spec else None

    def _run(self, specs: Sequence[RunSpec], start: int) -> None:
        length = self.reference.header.steps
        planned = sum((spec.stop_after or length) - start for spec in specs)
        if self._budget is not None and self.steps + planned > self._budget:
            raise BudgetSpent
        records = self._make([Run(spec, self._folder / spec.key) for spec in specs])
        self.count += len(records)
        self.steps += sum(max(0, record.header.steps - start) for record in records)

    def _judged(self, record: RunRecord, last: int | None) -> Replay:
        header = record.header
        if header.status not in ("completed", "stopped"):
            return Replay(record, None, header.error or header.status)
        first = first_value_divergence(self.reference, record, last)
        length = self.reference.header.steps
        if first is None and header.steps < min(last or length, length):
            return Replay(record, None, f"it ended after {header.steps} steps")
        return Replay(record, first, "")
