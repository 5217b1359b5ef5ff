"""`harness.check_loop(...)`: whether a loop keeps the contract that every built-in loop keeps.

The loop trains the embedded task three times for a few updates: twice alike, and once with another
seed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.comparison.compare import compare
from harness.comparison.validity import validity_doubts
from harness.execution.parent.runner import Run, run_all
from harness.results.record import RunRecord
from harness.spec import registry

__all__ = ["broken_rules", "check_loop"]

_SMALL = {"train_rows": 32, "eval_rows": 16, "max_steps": 6}
_ROWS = 32


def check_loop(loop: str | os.PathLike[str], **settings: Any) -> None:
    """Check a loop: its name, or the path of its file. For a test of your own.

    `settings`: recipe fields to which the loop is to be held, as for `--set`. Raises
    `AssertionError` with each rule that the loop breaks, and `SpecError` if it is refused.
    """
    ((name, broken),) = broken_rules([os.fspath(loop)], settings).items()
    if broken:
        raise AssertionError(f"{name} breaks the contract of a loop: {'; '.join(broken)}")


def broken_rules(loops: Sequence[str], settings: dict[str, Any]) -> dict[str, list[str]]:
    """By loop, the rules that it breaks. Raises `SpecError` if a loop is refused."""
    case = registry.with_settings(registry.case("paraphrase"), {**_SMALL, **settings})
    other = registry.with_settings(case, {"seed": case.recipe.seed + 1})
    plans = [(one, repeat) for one, repeat in ((case, 1), (case, 2), (other, 3))]
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        runs = [
            Run(
                registry.run_spec(one, loop, repeat=repeat),
                Path(scratch) / f"{number}-{repeat}",
            )
            for number, loop in enumerate(loops)
            for one, repeat in plans
        ]
        records = run_all(runs, None, lambda _number, _event: None)
        return {
            loop: list(_broken(*records[3 * number : 3 * number + 3]))
            for number, loop in enumerate(loops)
        }


def _broken(first: RunRecord, again: RunRecord, other: RunRecord) -> Iterator[str]:
    """The rules that three runs of a loop break; the third has another seed."""
    for record in (first, again, other):
        if record.header.status != "completed":
            yield f"it trains without an error: {record.header.error or record.header.status}"
            return
    if first.header.steps != first.header.steps_expected:
        expected, steps = first.header.steps_expected, first.header.steps
        yield f"it makes as many updates as its recipe asks for: {steps} of {expected}"
    if first.header.probe_fault:
        yield f"the probe records it to the end: {first.header.probe_fault}"
    yield from (f"its record holds what a training does: {d}" for d in validity_doubts(first))
    names = ("first run", "second run")
    same, differs = compare(first, again, names), compare(first, other, names)
    if same.outcome != "identical":
        place = same.first_divergence
        where = f" from step {place.step} on, in {place.stage}" if place else ""
        yield f"it repeats itself: two runs with one seed differ{where}"
    if differs.outcome != "different":
        yield "it follows the seed: a run with another seed is not different"
    read = [rows or [] for rows in first.micro_batches["sample_ids"].to_pylist()]
    seen = [row for rows in read for row in rows][:_ROWS]
    if len(set(seen)) < len(seen):
        yield "it reads each row once in an epoch: the first epoch repeats rows"
