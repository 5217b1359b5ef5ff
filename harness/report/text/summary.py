"""A pair in one sentence, and how each run went."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.text import noise, seeds, speeds
from harness.report.text.causes import because
from harness.report.text.values import distinct
from harness.results.comparison import Comparison
from harness.results.divergence import Divergence
from harness.results.report import RunSummary
from harness.units import number

__all__ = [
    "NOTHING_COMPARED",
    "equal_before_the_end",
    "remarks",
    "sentence",
    "without_options",
    "without_out",
]

_MOST_ULP = 1e4
"""A larger distance is no rounding, and the two values say more."""
NOTHING_COMPARED = "Nothing was compared: a verdict needs two runs."


def remarks(run: RunSummary) -> list[str]:
    """Facts about a run that its figures do not show, one line each."""
    lines = []
    if run.resumed_from:
        steps = ", ".join(map(str, run.resumed_from))
        lines.append(
            f"interrupted, and resumed in a new process from its checkpoint at step {steps}"
        )
    if run.repeated_samples:
        lines.append(
            f"{run.repeated_samples} of its {run.samples} samples repeat rows of the same epoch, "
            "to fill the last round of its processes"
        )
    return lines


def without_options(command: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """A command without some options and their values, written `--a VALUE` or `--a=VALUE`."""
    kept: list[str] = []
    skip = False
    for part in command:
        named = part.partition("=")[0] in names
        if not skip and not named:
            kept.append(part)
        skip = not skip and named and "=" not in part
    return tuple(kept)


def without_out(command: Sequence[str]) -> tuple[str, ...]:
    """A command without its `--out FOLDER`, which a reader who repeats it does not need."""
    return without_options(command, ("--out",))


def sentence(comparison: Comparison) -> str:
    """One line for a pair: the outcome, where it comes from, and its cause if known."""
    if comparison.equality is not None:
        return speeds.sentence(comparison)
    if comparison.test:
        return seeds.sentence(comparison)
    pair = f"{comparison.candidate} against {comparison.reference}"
    if comparison.outcome == "identical":
        restriction = f", {comparison.restriction}" if comparison.restriction else ""
        how = "".join(f"; {line}" for line in comparison.alignment)
        steps = comparison.steps
        return f"{pair}: identical, bit for bit, at {_all(steps)}{restriction}{how}"
    band = noise.sentence(comparison.noise) if comparison.noise is not None else ""
    if band and comparison.outcome == "within_noise":
        return f"{pair}: within_noise; {band}"
    first = comparison.first_divergence
    if first is None:
        why = comparison.doubts[0] if comparison.doubts else "no reason recorded"
        parts = [f"{pair}: {comparison.outcome}", why, equal_before_the_end(comparison)]
        return "; ".join(filter(None, parts))
    if comparison.different_models:
        return f"{pair}: {comparison.outcome}; {comparison.different_models}"
    cause = because(comparison) if comparison.outcome == "different" else ""
    where = f"{pair}: {comparison.outcome}, first at {_place(first)}"
    parts = [where, band, cause, *comparison.alignment]
    return "; ".join(filter(None, parts))


def equal_before_the_end(comparison: Comparison) -> str:
    """That nothing differs until one of two runs ended early; empty if that is not known."""
    ended = comparison.outcome == "incomparable" and comparison.first_divergence is None
    values = [stage for stage in comparison.stages if stage.stage != "config" and stage.compared]
    if not (ended and comparison.steps and values) or any(stage.first for stage in values):
        return ""
    restriction = f", {comparison.restriction}" if comparison.restriction else ""
    return (
        f"what both recorded is equal, bit for bit, at {_all(comparison.steps)} before{restriction}"
    )


def _all(steps: int) -> str:
    return f"all {steps} steps" if steps != 1 else "the only step"


def _place(first: Divergence) -> str:
    """Where the values first differ, and by how much."""
    text = f"step {first.step}"
    if first.micro_batch is not None:
        text += f", micro-batch {first.micro_batch}"
    if first.rank is not None:
        text += f", rank {first.rank}"
    text += f" in {first.stage}"
    if first.tensor is not None:
        text += f" of {first.tensor}"
    if first.tensors_differing and first.tensors_differing > 1:
        text += f" and {first.tensors_differing - 1} more"
    values = first.candidate, first.reference
    numbers = [value for value in values if isinstance(value, int | float)]
    if first.max_ulp is not None and first.max_ulp > _MOST_ULP and len(numbers) == 2:
        text += ", {} against {}".format(*distinct(*map(float, numbers)))
    elif first.max_ulp is not None:
        text += f", by {number(first.max_ulp)} ulp"
    return text
