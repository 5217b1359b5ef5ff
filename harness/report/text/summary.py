"""What a report says, in sentences: first of all, of each pair, of how a run went; commands too."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.text import (
    explanation as explained,
)
from harness.report.text import (
    regression as gate,
)
from harness.report.text import (
    seeds as over_seeds,
)
from harness.report.text import (
    speeds,
)
from harness.report.text import (
    upgrade as upgraded,
)
from harness.report.text.causes import because
from harness.report.text.noise import words
from harness.results.comparison import Comparison
from harness.results.report import Report, RunSummary
from harness.units import number

__all__ = [
    "NOTHING_COMPARED",
    "first_lines",
    "remarks",
    "sentence",
    "summary",
    "without_options",
    "without_out",
]

NOTHING_COMPARED = "Nothing was compared: a verdict needs two runs."
_FEW = 6  # pairs that are told one by one


def remarks(run: RunSummary) -> list[str]:
    """What else is to be told of how a run went, a line each."""
    lines = []
    if run.resumed_from:
        steps = ", ".join(map(str, run.resumed_from))
        lines.append(
            "ended before its time, and resumed in a new process from its checkpoint at step "
            f"{steps}"
        )
    if run.repeated_samples:
        lines.append(
            f"{run.repeated_samples} of its {run.samples} samples were rows seen before in their "
            "epoch, which filled up the processes' last round"
        )
    return lines


def without_options(command: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """A command less some options with their values, written as `--a VALUE` or `--a=VALUE`."""
    kept: list[str] = []
    skip = False
    for part in command:
        named = part.partition("=")[0] in names
        if not skip and not named:
            kept.append(part)
        skip = not skip and named and "=" not in part
    return tuple(kept)


def without_out(command: Sequence[str]) -> tuple[str, ...]:
    """A command less its `--out FOLDER`: where its results went is of no use to who repeats it."""
    return without_options(command, ("--out",))


def first_lines(report: Report) -> list[str]:
    """What a report says first: what regressed or changed; why, where known; else whether."""
    if report.gate is not None:
        return gate.first_lines(report.gate)
    if report.bisect is not None:
        return [report.bisect.sentence]
    if report.upgrade is not None:
        return upgraded.first_lines(report.upgrade)
    found = [explained.sentence(one) for one in report.explanations]
    odd = [report.odd_one_out] if report.odd_one_out else []
    return [*odd, *(found or summary(report.comparisons))]


def summary(comparisons: Sequence[Comparison]) -> list[str]:
    """What a report says first: each pair in a line; of many, only those that are not identical."""
    if len(comparisons) <= _FEW:
        return [sentence(comparison) for comparison in comparisons]
    apart = [comparison for comparison in comparisons if comparison.outcome != "identical"]
    cases = len({comparison.case for comparison in comparisons})
    count = len(comparisons) - len(apart)
    known = sum(bool(comparison.note) for comparison in apart)
    levels = dict.fromkeys(c.restriction for c in comparisons if c.restriction)
    restriction = "".join(f", {level}" for level in levels)
    return [
        f"{count} of {len(comparisons)} pairs in {cases} cases are identical, bit for bit"
        f"{restriction}; {len(apart)} are not, {known} of them for a reason known before",
        *(f"{comparison.case}: {sentence(comparison)}" for comparison in apart),
    ]


def sentence(comparison: Comparison) -> str:
    """One line for a reader: the outcome, and where it comes from."""
    if comparison.equality is not None:
        return speeds.sentence(comparison)
    if comparison.test:
        return over_seeds.sentence(comparison)
    pair = f"{comparison.candidate} against {comparison.reference}"
    if comparison.outcome == "identical":
        restriction = f", {comparison.restriction}" if comparison.restriction else ""
        return f"{pair}: identical, bit for bit, at all {comparison.steps} steps{restriction}"
    first = comparison.first_divergence
    if comparison.noise is not None and comparison.outcome == "within_noise":
        return f"{pair}: within_noise; {words(comparison.noise)}"
    if first is None:
        why = comparison.doubts[0] if comparison.doubts else "no reason recorded"
        return f"{pair}: {comparison.outcome}; {why}"
    where = f"step {first.step}"
    if first.micro_batch is not None:
        where += f", micro-batch {first.micro_batch}"
    if first.rank is not None:
        where += f", rank {first.rank}"
    place = first.stage
    if first.tensor is not None:
        place += f" of {first.tensor}"
    if first.tensors_differing and first.tensors_differing > 1:
        place += f" and {first.tensors_differing - 1} more"
    apart = f", {number(first.max_ulp)} ulp apart" if first.max_ulp is not None else ""
    told = f"; {words(comparison.noise)}" if comparison.noise is not None else ""
    why = because(comparison) if comparison.outcome == "different" else ""
    why = f"; {why}" if why else ""
    return f"{pair}: {comparison.outcome}, first at {where} in {place}{apart}{told}{why}"
