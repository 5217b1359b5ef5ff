"""A training that takes no time: fields act from a step on, and values on all before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.execution.checkpoints import FOLDER, Checkpoints
from harness.execution.parent.runner import Run
from harness.results.record import SCHEMA_VERSION, Counts, Header, RecordWriter, RunRecord
from harness.spec.case import Case, RunSpec
from harness.spec.recipe import Recipe
from tests.support.records import evaluation, fake_digest

TENSORS = ("embedding.weight", "classifier.bias")


@dataclass
class World:
    """What runs compute in it."""

    acts: Mapping[str, int]
    """Fields that matter, and the step from which each does."""
    steps: int = 12
    faults: Mapping[str, int] = field(default_factory=dict)
    """Loops whose code does something else, and from which step on."""
    held: frozenset[str] = frozenset()
    """Fields that a resumed run takes from its checkpoint."""
    refused: Mapping[str, Any] = field(default_factory=dict)
    """Values that the loop `picky` refuses."""
    unsteady: bool = False
    """Whether no run is like another."""
    made: list[RunSpec] = field(default_factory=list)
    count: int = 0

    def effect(self, spec: RunSpec, step: int, start: RunSpec | None = None) -> Any:
        """What shapes update `step` besides what came before it."""
        own, first = spec.recipe.model_dump(), start.recipe.model_dump() if start else {}
        values = [
            (name, first[name] if name in self.held and first else own[name])
            for name, begin in sorted(self.acts.items())
            if begin <= step
        ]
        fault = self.faults.get(spec.loop)
        return values, fault is not None and fault <= step, self.count * self.unsteady

    def states(self, spec: RunSpec) -> list[int]:
        """Of the weights, from the initial ones to the last."""
        states, start = [fake_digest("initial")], None
        if spec.start_from is not None:
            start = RunRecord(Path(spec.start_from).parent).run_spec
            states = self.states(start)[: (start.recipe.save_every or 0) + 1]
        for step in range(len(states), (spec.stop_after or self.steps) + 1):
            states.append(fake_digest(states[-1], self.effect(spec, step, start)))
        return states

    def make(self, runs: Sequence[Run], keep_going: bool = True) -> list[RunRecord]:
        """As `run_all` does."""
        return [self.train(run) for run in runs]

    def train(self, run: Run) -> RunRecord:
        """One run."""
        spec = run.spec
        self.made.append(spec)
        self.count += 1
        writer = RecordWriter(run.folder)
        header: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "spec": spec,
            "environment": {},
            "digest_algorithm": "xxh3_64",
            "initial_weights": "00",
        }
        for name, value in self.refused.items():
            if spec.loop == "picky" and getattr(spec.recipe, name) == value:
                why = f"refused: picky takes no {name}={value}"
                writer.close(Header(**header, status="failed", error=why))
                return RunRecord(run.folder)
        states = self.states(spec)
        for step in range(len(states)):
            self._write(writer, states, step)
        count = len(states) - 1
        if spec.recipe.save_every is not None:
            checkpoints = Checkpoints(run.folder / FOLDER)
            path = checkpoints.folder / f"checkpoint-{spec.recipe.save_every}"
            path.mkdir(parents=True)
            checkpoints.set_aside(0, Counts(), RecordWriter(run.folder / "aside"))
            checkpoints.seal(path, spec, spec.recipe.save_every, None)
        stopped = count < self.steps
        writer.close(
            Header(
                **header,
                status="stopped" if stopped else "completed",
                steps_expected=self.steps,
                steps=count,
                micro_batches=count,
                evaluations=() if stopped else (evaluation(count, loss=_number(states[-1])),),
            )
        )
        return RunRecord(run.folder)

    def _write(self, writer: RecordWriter, states: Sequence[int], step: int) -> None:
        for tensor in TENSORS:
            row = {"gradient": 1, "weight": fake_digest(tensor, states[step]), "optimizer_state": 1}
            writer.add("tensors", step=step, tensor=tensor, **row)
            drawn = np.random.default_rng(states[step]).normal(size=61)
            writer.add("sketches", step=step, tensor=tensor, sketch=drawn.tolist())
        if not step:
            return
        before, after = states[step - 1], states[step]
        digests = {"gradients": fake_digest("g", before), "weights": after, "optimizer_state": 1}
        rates = {"learning_rate": [1e-3], "rate_of": [0] * len(TENSORS)}
        writer.add("steps", step=step, grad_norm=_number(before), **rates, **digests)
        batch = {"sample_ids": [step], "rows": [step], "batch_content": step, "rng": step}
        batch |= {"label_content": step, "rng_python": 1, "rng_numpy": 1}
        losses = dict.fromkeys(("loss", "task_loss"), _number(before))
        writer.add("micro_batches", step=step, micro_batch=1, **losses, **batch)

    def run(self, folder: Path, loop: str = "plain", **recipe: Any) -> RunRecord:
        """A run to be explained, which does not count as made."""
        asked = Recipe(max_steps=self.steps, **recipe)
        case = Case(name="tiny", workload="paraphrase", recipe=asked)
        spec = RunSpec(case=case, loop=loop, recipe=asked, sketch=True)
        record = self.train(Run(spec, folder))
        self.made.clear()
        return record


def _number(state: int) -> float:
    return 1 + state / 2**64
