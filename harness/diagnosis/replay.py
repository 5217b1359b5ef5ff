"""Replays of the candidate with some of its fields set to the reference's values.

A replay stops at the last step of its range. A replay that begins later starts from a checkpoint,
which the first replay that needs it writes. Records are stored by their run spec, so that no replay
is made twice, even across commands in one folder.
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

__all__ = ["SWITCHABLE", "Replay", "Replays", "ReplaysSpent", "StepRange"]

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
"""Fields that no checkpoint holds. A checkpoint restores the optimizer's groups (learning rates,
decay and kind) as they were written, and seeds and orders act from the first step on."""


class ReplaysSpent(Exception):
    """No more replays are allowed."""


@dataclass(frozen=True)
class StepRange:
    """The range of steps of a replay."""

    last: int | None = None
    """The last step; None: the end of the run, with its final evaluation."""
    start: int = 0
    """The step of the checkpoint to start from; 0: the beginning."""


@dataclass(frozen=True)
class Replay:
    """The result of one replay."""

    record: RunRecord
    first: Divergence | None
    """Its first divergence from the reference; None: none within its range."""
    error: str
    """Why it failed or is incomplete; empty otherwise."""

    @property
    def same(self) -> bool:
        """Whether it is complete and equal to the reference."""
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
        most: int | None = None,
    ) -> None:
        """`values`: the reference's values by name of recipe field or workload option.

        `make` runs the given runs and waits. A run that is refused or fails leaves a record of
        that. `most`: the largest number of replays, without those of an earlier command.
        """
        self.reference = reference
        self.count, self.steps = 0, 0
        self._requested: set[str] = set()
        self._candidate, self._values = candidate, dict(values)
        self._folder, self._make, self._most = folder, make, most
        self._whole: dict[Subset, RunRecord] = {}
        self._bases: dict[tuple[int, Subset], RunSpec] = {}

    @property
    def reused(self) -> int:
        """The number of replays whose records were there before this command."""
        return len(self._requested) - self.count

    def add_known(self, subset: Subset, record: RunRecord) -> None:
        """Use `record` as the whole run with `subset` switched."""
        self._whole[subset] = record

    def replay(self, subsets: Sequence[Subset], steps_range: StepRange) -> list[Replay]:
        """Replay the candidate with each of several sets of fields switched, over `steps_range`.

        A replay that diverges before its range stops there. Raises `ReplaysSpent` before it
        starts one too many.
        """
        found = {
            subset: self._replay_of(self._whole[subset], steps_range.last)
            for subset in subsets
            if subset in self._whole
        }
        waiting = [subset for subset in dict.fromkeys(subsets) if subset not in found]
        while steps_range.start and (new := self._without_base(waiting, steps_range.start)):
            checkpoint_runs = [
                self._checkpoint_run(subset, steps_range.start) for subset in new.values()
            ]
            records = self._records(checkpoint_runs)
            for (in_checkpoint, subset), run, record in zip(
                new.items(), checkpoint_runs, records, strict=True
            ):
                replay = self._replay_of(record, steps_range.start + 1)
                if replay.same:
                    self._bases[steps_range.start, in_checkpoint] = run
                else:
                    found[subset] = replay
                    waiting.remove(subset)
        specs = [self._spec(subset, steps_range) for subset in waiting]
        records = self._records(specs, steps_range.start)
        found |= {
            subset: self._replay_of(record, steps_range.last)
            for subset, record in zip(waiting, records, strict=True)
        }
        if steps_range == StepRange():
            self._whole |= {s: found[s].record for s in waiting if not found[s].error}
        return [found[subset] for subset in subsets]

    def repeat_reference(self, spec: RunSpec, last: int) -> Replay:
        """Repeat the reference's own run up to step `last`."""
        (record,) = self._records([spec.model_copy(update={"stop_after": last})])
        return self._replay_of(record, last)

    def clear(self) -> None:
        """Remove the checkpoints and keep the records."""
        for folder in self._folder.glob(f"*/{FOLDER}"):
            shutil.rmtree(folder)

    def _without_base(self, subsets: Sequence[Subset], start: int) -> dict[Subset, Subset]:
        """Subsets without a fitting checkpoint: one for each set of fields in a checkpoint."""
        new: dict[Subset, Subset] = {}
        for subset in subsets:
            in_checkpoint = subset - SWITCHABLE
            if (start, in_checkpoint) not in self._bases:
                new.setdefault(in_checkpoint, subset)
        return new

    def _checkpoint_run(self, subset: Subset, start: int) -> RunSpec:
        """A run from the beginning that writes a checkpoint after `start` and stops at the next."""
        spec = self._spec(subset, StepRange(last=start + 1))
        recipe = spec.recipe.model_copy(update={"save_every": start})
        return spec.model_copy(update={"recipe": recipe})

    def _spec(self, subset: Subset, steps_range: StepRange) -> RunSpec:
        recipe: dict[str, Any] = self._candidate.recipe.model_dump()
        if "save_every" not in self._values:  # otherwise saving is a field under test
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
            "stop_after": steps_range.last or self._candidate.stop_after,
            "start_from": None,
            "resume_at": None,
            "sketch": True,
            "arm": None,
            "repeat": 1,
        }
        if steps_range.start:
            base = self._bases[steps_range.start, subset - SWITCHABLE]
            changes["start_from"] = str(self._folder / base.key / FOLDER)
        return self._candidate.model_copy(update=changes)

    def _records(self, specs: Sequence[RunSpec], start: int = 0) -> list[RunRecord]:
        """Records of runs that start after step `start`; existing ones are used again."""
        missing = [spec for spec in specs if self._existing(spec) is None]
        self._requested |= {spec.key for spec in specs}
        if missing:
            self._restore_bases(missing)
            self._run(missing, start)
        return [RunRecord(self._folder / spec.key) for spec in specs]

    def _restore_bases(self, specs: Sequence[RunSpec]) -> None:
        """Write checkpoints again that an earlier command removed."""
        needed = {spec.start_from for spec in specs} - {None}
        lost = [
            run
            for run in self._bases.values()
            if (path := self._folder / run.key / FOLDER) and str(path) in needed
            if Checkpoints(path).newest()[0] is None
        ]
        if lost:
            self._run(lost, 0)
            self._requested |= {run.key for run in lost}

    def _existing(self, spec: RunSpec) -> RunRecord | None:
        try:
            record = RunRecord(self._folder / spec.key)
        except RecordError:
            return None
        done = record.header.status in ("completed", "stopped")
        return record if done and record.spec == spec else None

    def _run(self, specs: Sequence[RunSpec], start: int) -> None:
        if self._most is not None and self.count + len(specs) > self._most:
            raise ReplaysSpent
        records = self._make([Run(spec, self._folder / spec.key) for spec in specs])
        self.count += len(records)
        self.steps += sum(max(0, record.header.steps - start) for record in records)

    def _replay_of(self, record: RunRecord, last: int | None) -> Replay:
        header = record.header
        if header.status not in ("completed", "stopped"):
            return Replay(record, None, header.error or header.status)
        first = first_value_divergence(self.reference, record, last)
        length = self.reference.header.steps
        if first is None and header.steps < min(last or length, length):
            return Replay(record, None, f"ended after step {header.steps}")
        return Replay(record, first, "")
