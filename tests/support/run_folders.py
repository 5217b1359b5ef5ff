"""Output folders with something to draw: records beside a report, sessions beside a bench."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from harness.results.comparison import Comparison
from harness.results.divergence import Divergence
from harness.results.record import SCHEMAS, Header, RecordWriter, RunRecord
from harness.results.report import Report
from tests.support.bench_sessions import sessions
from tests.support.judged_reports import bench_report
from tests.support.records import Draft, draft
from tests.support.small_report import AWKWARD, IDENTICAL

HOSTILE = f"{AWKWARD} ]]> '\"><img src=x onerror=alert(1)> {{{{ 7 * 7 }}}} $x^2$ \x00\x07\u202e end"
"""A text that would like to be markup, a template, a formula, or the end of something."""


def part(made: Draft, step: int) -> None:
    """Another loss from `step` on, and a norm that is not finite in the last but one."""
    for row in made.rows["micro_batches"]:
        row["loss"] += 0.25 * (row["step"] >= step)
        row["task_loss"] = row["loss"]
    made.step(5)["grad_norm"] = float("nan")


def pair_report(
    folder: Path, names: tuple[str, str] = ("plain", "trainer"), step: int = 3
) -> Report:
    """Two runs of six steps that part at `step`, with their records in `folder`."""
    drafts = draft(), draft("trainer")
    part(drafts[1], step)
    records = [
        (name, made.write(folder / "records" / str(number)))
        for number, (name, made) in enumerate(zip(names, drafts, strict=True))
    ]
    return Report.of(records, [differing(names, step)], folder, ["harness", "run", names[1]])


def identical_report(folder: Path) -> Report:
    """Two equal runs of six steps, with their records in `folder`."""
    names = ("plain", "trainer")
    records = [(name, draft(name).write(folder / "records" / name)) for name in names]
    same = differing(names, 3).model_copy(
        update={"outcome": "identical", "first_divergence": None, "stages": IDENTICAL.stages}
    )
    return Report.of(records, [same], folder, ["harness", "run"])


def failed_report(folder: Path) -> Report:
    """A run that failed, beside one that did not."""
    report = pair_report(folder)
    error = "KeyError: 'no_such_key' (my_loop.py:59)"
    runs = (
        report.runs[0],
        report.runs[1].model_copy(update={"status": "failed", "error": error}),
    )
    pair = report.comparisons[0].model_copy(
        update={
            "outcome": "incomparable",
            "first_divergence": None,
            "doubts": (f"trainer failed: {error}",),
        }
    )
    update = {"verdict": "failed", "runs": runs, "comparisons": (pair,)}
    return report.model_copy(update=update)


def differing(names: tuple[str, str], step: int, steps: int = 6) -> Comparison:
    """A pair that parts at `step`."""
    first = Divergence(step=step, stage="loss", reference=0.5, candidate=0.75)
    return Comparison(
        case="tiny",
        reference=names[0],
        candidate=names[1],
        outcome="different",
        steps=steps,
        first_divergence=first,
    )


def timed_report(folder: Path) -> Report:
    """A bench of three sessions in `folder`: the trainer 5% slower, the control like its like."""
    ratios = {
        "accelerated": [1.01, 1.0, 1.02],
        "trainer": [1.05, 1.04, 1.06],
        "control": [1.0, 1.001, 0.999],
    }
    for session in sessions(ratios):
        session.write(folder / "sessions")
    return bench_report()


def long_report(folder: Path, steps: int, spike: int) -> Report:
    """Two runs of so many steps; the second one's loss leaps at the step `spike` alone."""
    records = []
    for number, name in enumerate(("plain", "trainer")):
        records.append((name, _long(folder / "records" / name, steps, spike if number else None)))
    return Report.of(records, [differing(("plain", "trainer"), spike, steps)], folder, ["harness"])


def _long(folder: Path, steps: int, spike: int | None) -> RunRecord:
    numbers = np.arange(1, steps + 1)
    noise = np.random.default_rng(0).normal(size=steps)
    loss = 1 / np.sqrt(numbers) + 0.01 * noise
    if spike is not None:
        loss[spike - 1] = 7.5
    digests = numbers.astype(np.uint64)
    rates = pa.ListArray.from_arrays(np.arange(steps + 1), 5e-5 * (1 - numbers / steps))
    columns = {
        "steps": {
            "step": numbers,
            "learning_rate": rates,
            "rate_of": pa.nulls(steps),
            "grad_norm": np.abs(noise),
            "gradients": digests,
            "weights": digests,
            "optimizer_state": digests,
        },
        "micro_batches": {
            "step": numbers,
            "micro_batch": np.ones(steps, np.int32),
            "sample_ids": pa.ListArray.from_arrays(np.arange(steps + 1), numbers),
            "rows": pa.nulls(steps),
            "batch_content": digests,
            "label_content": digests,
            "rng": digests,
            "rng_python": np.ones(steps, np.uint64),
            "rng_numpy": np.ones(steps, np.uint64),
            "loss": loss,
            "task_loss": loss,
        },
    }
    writer = RecordWriter(folder)
    for trace, held in columns.items():
        table = pa.table([pa.array(column) for column in held.values()], names=list(held))
        writer.add_table(trace, table.cast(SCHEMAS[trace]))
    made = draft().header | {"steps": steps}

    writer.close(Header(**made))
    return RunRecord(folder)
