"""Which stages and steps two records hold, and what of them cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.comparison.updates import Cut
from harness.errors import RecordError
from harness.results.divergence import STAGES, StageDifference
from harness.results.levels import not_recorded
from harness.results.record import RunRecord
from harness.spec.command import CommandSpec
from harness.spec.recipe import DETAILS

__all__ = ["LabelledPair", "detail_doubts", "every", "lower_first", "unrecorded", "without_stages"]

_NEEDED = [stage for stage in STAGES if stage != "config"]

_OF_TENSORS = ("gradients", "weights", "optimizer_state")
"""Stages that are compared tensor by tensor."""

LabelledPair = tuple[tuple[RunRecord, str], tuple[RunRecord, str]]


def every(record: RunRecord) -> int:
    """At each multiple of which number gradients and weights were recorded."""
    return record.spec.every if isinstance(record.spec, CommandSpec) else 1


def lower_first(pair: LabelledPair) -> list[tuple[RunRecord, str]]:
    """The two runs, the one with the lower detail first."""
    return sorted(pair, key=lambda run: DETAILS.index(run[0].spec.detail))


def detail_doubts(pair: LabelledPair) -> Iterator[str]:
    """A doubt if the two records have different details."""
    (lower, label), (higher, _) = lower_first(pair)
    if lower.spec.detail != higher.spec.detail:
        yield (
            f"{label} was recorded at detail {lower.spec.detail} and the other run at "
            f"{higher.spec.detail}, so these stages are not compared: "
            f"{', '.join(not_recorded(lower, higher))}; "
            f"run both with --detail {higher.spec.detail}"
        )


def without_stages(pair: LabelledPair, stages: Sequence[StageDifference]) -> list[str]:
    """Stages without which a pair with a command can be identical: each is named, none is a doubt.

    A command has no evaluation unless it reports one, and a batch may have no rows: then the digest
    of the whole batch stands for them.
    """
    compared = {found.stage for found in stages}
    found: list[str] = []
    if not any(isinstance(record.spec, CommandSpec) for record, _ in pair):
        return found
    rows = [r for r, _ in pair if isinstance(r.spec, CommandSpec) and not _has_rows(r)]
    if "data_order" not in compared and "batch_content" in compared and rows:
        found.append("data_order")
    without = [r for r, _ in pair if isinstance(r.spec, CommandSpec) and not r.header.evaluations]
    if "evaluation" not in compared and without:
        found.append("evaluation")
    return found


def _has_rows(record: RunRecord) -> bool:
    try:
        rows = record.micro_batches["rows"]
    except RecordError:
        return True
    return bool(rows.null_count < len(rows))


def _recorded(pair: LabelledPair, stage: str) -> bool:
    """Whether both runs recorded this stage at some step."""
    return all(record.steps[stage].null_count < len(record.steps) for record, _ in pair)


def unrecorded(
    pair: LabelledPair,
    stages: Sequence[StageDifference],
    named: Sequence[str],
    cut: Cut | None,
    nothing_in_common: bool,
) -> Iterator[str]:
    """A doubt if a stage that both details require is not compared.

    `nothing_in_common`: whether no tensor of one model is one of the other.
    """
    (one, _), (two, _) = pair
    excused = {*not_recorded(one, two), *named, *(found.stage for found in stages)}
    if cut is not None and cut.every_step:
        excused |= {"batch_content", "rng"}  # the division into micro-batches differs by design
    missing = [stage for stage in _NEEDED if stage not in excused]
    if nothing_in_common:
        disjoint = [stage for stage in missing if stage in _OF_TENSORS and _recorded(pair, stage)]
        missing = [stage for stage in missing if stage not in disjoint]
        if disjoint:
            yield f"not compared, as the two models have no tensor in common: {', '.join(disjoint)}"
    if missing:
        yield f"not recorded in both runs: {', '.join(missing)}"
    steps = every(one), every(two)
    if steps[0] != steps[1]:
        yield (
            f"gradients and weights were recorded every {steps[0]} and every {steps[1]} steps, so "
            "they are compared only where both hold them; trace both with the same --every"
        )
