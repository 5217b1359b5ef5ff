"""Synthetic records: a plausible short run as plain rows, which a test may spoil and then write.

Nothing is trained. Two drafts made alike are equal in every value, so whatever a test changes in
one of them is the only difference.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.comparison.compare import compare
from harness.results.comparison import Comparison
from harness.results.record import SCHEMA_VERSION, Evaluation, Header, RecordWriter, RunRecord
from harness.results.report import Report
from harness.spec.case import Case, RunSpec
from harness.spec.command import CommandSpec
from harness.spec.recipe import Recipe

STEPS = 6
MICRO_BATCHES = 2
BATCH_SIZE = 4
TENSORS = ("embedding.weight", "classifier.weight", "classifier.bias")
STAGE_COLUMNS = {
    "gradients": "gradient",
    "weights": "weight",
    "optimizer_state": "optimizer_state",
}

Row = dict[str, Any]


@dataclass
class Draft:
    """A record before it is written."""

    header: dict[str, Any]
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def step(self, number: int) -> Row:
        """The row of `steps` with that number."""
        return next(row for row in self.rows["steps"] if row["step"] == number)

    def micro_batch(self, step: int, number: int = 1) -> Row:
        """One row of `micro_batches`."""
        place = (step, number)
        rows = self.rows["micro_batches"]
        return next(row for row in rows if (row["step"], row["micro_batch"]) == place)

    def tensor(self, step: int, name: str) -> Row:
        """One row of `tensors`."""
        rows = self.rows["tensors"]
        return next(row for row in rows if (row["step"], row["tensor"]) == (step, name))

    def cut(self, steps: int) -> None:
        """Keep the first `steps` steps of every trace, and evaluate after the last of them."""
        for trace, rows in self.rows.items():
            self.rows[trace] = [row for row in rows if row["step"] <= steps]
        self.header["evaluations"] = (evaluation(steps),)
        self.recount()

    def recount(self) -> None:
        """Make the header's counts those of the rows."""
        micro = self.rows["micro_batches"]
        self.header["steps"] = len(self.rows["steps"])
        self.header["micro_batches"] = len(micro)
        self.header["samples"] = sum(len(row["sample_ids"] or row["rows"] or ()) for row in micro)
        self.header["epochs"] = self.header["samples"] / (STEPS * MICRO_BATCHES * BATCH_SIZE)

    def write(self, folder: Path) -> RunRecord:
        """The record in `folder`, written as a run writes it and read back."""
        writer = RecordWriter(folder)
        for trace, rows in self.rows.items():
            for row in rows:
                writer.add(trace, **row)
        writer.close(Header(**self.header))
        return RunRecord(folder)


Spoil = Callable[[Draft], object]


def fake_digest(*parts: object) -> int:
    """64 bits that depend on `parts`, alike on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def evaluation(step: int, **metrics: float) -> Evaluation:
    """An evaluation after `step` updates."""
    return Evaluation(step=step, rows=8, metrics={"accuracy": 0.875, "f1": 0.9, **metrics})


def spec(loop: str = "plain", case: str = "tiny", **more: Any) -> RunSpec:
    """A spec of six steps of the default workload."""
    recipe = Recipe(max_steps=STEPS, per_device_batch_size=BATCH_SIZE)
    asked = Case(name=case, workload="paraphrase", recipe=recipe)
    return RunSpec(**{"case": asked, "loop": loop, "recipe": recipe, **more})


def draft(loop: str = "plain", case: str = "tiny", **header: Any) -> Draft:
    """A completed run in which all that must move moves."""
    made = Draft(
        {
            "schema_version": SCHEMA_VERSION,
            "spec": spec(loop, case),
            "status": "completed",
            "environment": {"python": "3.11"},
            "digest_algorithm": "xxh3_64",
            "steps_expected": STEPS,
            "parameters": 30,
            "parameter_names": TENSORS,
            "initial_weights": f"{fake_digest('weights', 0):016x}",
            "evaluations": (evaluation(STEPS),),
            "wall_s": 2.0,
        },
        {
            "steps": [_step(step) for step in range(1, STEPS + 1)],
            "micro_batches": [
                _micro_batch(step, number)
                for step in range(1, STEPS + 1)
                for number in range(1, MICRO_BATCHES + 1)
            ],
            "tensors": [_tensor(step, name) for step in range(STEPS + 1) for name in TENSORS],
        },
    )
    made.recount()
    made.header |= header
    return made


def command_draft(name: str = "train", **spec: Any) -> Draft:
    """The same run, traced from outside: without a workload, a recipe and an evaluation."""
    made = draft()
    made.header |= {
        "spec": CommandSpec(name=name, command=("python", f"{name}.py"), **spec),
        "steps_expected": None,
        "evaluations": (),
        "epochs": 0.0,
        "tensors_every": spec.get("every", 1),
    }
    for row in made.rows["micro_batches"]:
        row["sample_ids"] = row["task_loss"] = None
    return made


def renamed(made: Draft, prefix: str) -> Draft:
    """The draft with a prefix before the name of each tensor."""
    for row in made.rows["tensors"]:
        row["tensor"] = prefix + row["tensor"]
    made.header["parameter_names"] = tuple(prefix + n for n in made.header["parameter_names"])
    return made


def divided(made: Draft) -> Draft:
    """The draft with one micro-batch per step, which holds the rows of all of them."""
    whole = []
    for step in range(1, len(made.rows["steps"]) + 1):
        rows = [row for row in made.rows["micro_batches"] if row["step"] == step]
        joined = {**rows[0], "batch_content": fake_digest("whole", step)}
        for column in ("sample_ids", "rows"):
            lists = [row[column] for row in rows]
            joined[column] = (
                None if None in lists else [one for rows_of in lists for one in rows_of]
            )
        joined["loss"] = sum(row["loss"] for row in rows)
        own = [row["task_loss"] for row in rows]
        joined["task_loss"] = None if None in own else sum(own) / len(own)
        whole.append(joined)
    made.rows["micro_batches"] = whole
    samples, epochs = made.header["samples"], made.header["epochs"]
    made.recount()
    made.header |= {"samples": samples, "epochs": epochs}
    return made


def _step(step: int) -> Row:
    return {
        "step": step,
        "learning_rate": [5e-5 * (1 - (step - 1) / STEPS)],
        "rate_of": [0] * len(TENSORS),
        "grad_norm": 2.0 / step,
        **{stage: fake_digest(stage, step) for stage in STAGE_COLUMNS},
    }


def _micro_batch(step: int, number: int) -> Row:
    first = ((step - 1) * MICRO_BATCHES + number - 1) * BATCH_SIZE
    return {
        "step": step,
        "micro_batch": number,
        "sample_ids": list(range(first, first + BATCH_SIZE)),
        "batch_content": fake_digest("batch_content", step, number),
        "label_content": fake_digest("label_content", step, number),
        "rng": fake_digest("rng", step, number),
        "rng_python": fake_digest("python"),
        "rng_numpy": fake_digest("numpy"),
        "rows": [fake_digest("row", first + place) for place in range(BATCH_SIZE)],
        "loss": 0.75 / step + number / 16,
        "task_loss": 0.75 / step + number / 16,
    }


def _tensor(step: int, name: str) -> Row:
    digests = {c: fake_digest(c, step, name) for c in STAGE_COLUMNS.values()}
    if step == 0:  # nothing was computed yet
        digests |= {"gradient": 0, "optimizer_state": 0}
    return {"step": step, "tensor": name, **digests}


def compare_drafts(folder: Path, reference: Draft, candidate: Draft) -> Comparison:
    """Write both below `folder` and compare them."""
    pair = reference.write(folder / "reference"), candidate.write(folder / "candidate")
    return compare(*pair, ("reference", "candidate"))


def write_run_folder(folder: Path, drafts: Mapping[str, Draft]) -> Report:
    """An output folder as `harness run` leaves it: records by label and a `report.json`."""
    folder.mkdir()
    records = [(label, made.write(folder / "records" / label)) for label, made in drafts.items()]
    report = Report.of(records, [], folder, ["harness", "run"])
    report.write_json(folder)
    return report
