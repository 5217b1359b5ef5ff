"""Two records -> one `Comparison`: the outcome, the first divergence, and every doubt about it.

`identical` is the only outcome that says yes, and it is given only where every stage was recorded
on both sides, everything in it is finite, what must move moved, and nothing differs. Everything
that stands in the way of that is written down as a doubt; unknown is never green.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.divergence import STAGES, Divergence, StageDifference, divergences
from harness.errors import RecordError
from harness.metrics import metric
from harness.record import RunRecord

__all__ = ["Cause", "Comparison", "Finding", "Outcome", "compare", "missing"]

Outcome = Literal[
    "identical",
    "within_noise",
    "different",
    "inconclusive",
    "incomparable",
    "equivalent",
    "faster",
    "slower",
]
_NEEDED = [stage for stage in STAGES if stage != "config"]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class Cause(_Result):
    """Why two runs differ, where it is known."""

    id: str
    title: str
    evidence: str
    remedy: str


class Finding(_Result):
    """One metric on both sides."""

    metric: str
    unit: str
    outcome: Outcome
    reference: float | None
    candidate: float | None
    ratio: float | None = None
    """Candidate over reference."""
    interval: tuple[float, float] | None = None


class Comparison(_Result):
    """What is known about one pair of runs."""

    case: str
    reference: str
    candidate: str
    outcome: Outcome
    steps: int
    """Steps that both took."""
    first_divergence: Divergence | None = None
    stages: tuple[StageDifference, ...] = ()
    causes: tuple[Cause, ...] = ()
    findings: tuple[Finding, ...] = ()
    doubts: tuple[str, ...] = ()
    """What keeps the outcome from being firmer, and what would resolve it."""


def compare(reference: RunRecord, candidate: RunRecord, labels: tuple[str, str]) -> Comparison:
    """Judge `candidate` against `reference`; `labels` name the two in messages.

    Never raises for what stands in the records: a damaged one makes the pair `incomparable`.
    """
    bars = list(_bars(reference, candidate, labels))
    doubts: list[str] = []
    stages: list[StageDifference] = []
    steps = 0
    try:
        for record, label in zip((reference, candidate), labels, strict=True):
            bars += _disorder(record, label)
            doubts += _implausible(record, label)
        if not any("out of order" in bar for bar in bars):
            stages = divergences(reference, candidate)
            steps = min(len(reference.steps), len(candidate.steps))
    except RecordError as error:
        bars.append(str(error))
    unseen = [stage for stage in _NEEDED if stage not in {found.stage for found in stages}]
    if unseen:
        doubts.append(f"not recorded on both sides: {', '.join(unseen)}; run with the trace probe")

    firsts = [found.first for found in stages if found.first is not None]
    first = min(firsts, key=lambda divergence: divergence.place, default=None)
    outcome: Outcome = "identical"
    if bars and (first is None or reference.spec.case.workload != candidate.spec.case.workload):
        outcome = "incomparable"
    elif first is not None:
        outcome = "different"
    elif doubts:
        outcome = "inconclusive"
    return Comparison(
        case=candidate.spec.case.name,
        reference=labels[0],
        candidate=labels[1],
        outcome=outcome,
        steps=steps,
        first_divergence=first if outcome != "incomparable" else None,
        stages=tuple(stages),
        findings=tuple(_findings(reference, candidate)),
        doubts=tuple(bars + doubts),
    )


def missing(case: str, reference: str, candidate: str, why: str) -> Comparison:
    """The comparison of a pair of which one side is not there."""
    return Comparison(
        case=case,
        reference=reference,
        candidate=candidate,
        outcome="incomparable",
        steps=0,
        doubts=(why,),
    )


def _bars(reference: RunRecord, candidate: RunRecord, labels: tuple[str, str]) -> Iterator[str]:
    """What makes a pair incomparable before any value is looked at."""
    for record, label in zip((reference, candidate), labels, strict=True):
        header = record.header
        if header.status != "completed":
            yield f"{label} {header.status}: {header.error or 'no reason recorded'}"
        if header.spec.observe != "trace":
            yield f"{label} was a {header.spec.observe} run and holds no values: trace it"
    one, two = reference.header, candidate.header
    if one.spec.case.workload != two.spec.case.workload:
        yield f"other workloads: {one.spec.case.workload} and {two.spec.case.workload}"
    if one.digest_algorithm != two.digest_algorithm:
        yield f"other digests: {one.digest_algorithm!r} and {two.digest_algorithm!r}"


def _disorder(record: RunRecord, label: str) -> Iterator[str]:
    """Steps must run 1, 2, 3, ... and micro-batches likewise within each."""
    steps = record.steps["step"].to_numpy()
    if not np.array_equal(steps, np.arange(1, len(steps) + 1)):
        yield f"{label}: the steps of its trace are out of order or not whole"
    micro = record.micro_batches
    owner, part = micro["step"].to_numpy(), micro["micro_batch"].to_numpy()
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    expected = np.arange(1, len(owner) + 1) - np.repeat(starts, np.diff(starts, append=len(owner)))
    if np.any(np.diff(owner) < 0) or not np.array_equal(part, expected):
        yield f"{label}: the micro-batches of its trace are out of order or not whole"


def _implausible(record: RunRecord, label: str) -> Iterator[str]:
    """Values that prove nothing by agreeing: not finite, missing, or still where they must move."""
    header, steps, micro = record.header, record.steps, record.micro_batches
    if len(steps) < 2:
        yield f"{label}: {len(steps)} step(s) recorded, which shows no course; train for 2 or more"
    if header.status == "completed" and header.steps_expected not in (None, len(steps)):
        asked = header.steps_expected
        yield f"{label}: {len(steps)} steps recorded where its recipe asks for {asked}"
    if (header.steps, header.micro_batches) != (len(steps), len(micro)):
        yield f"{label}: its header counts {header.steps} steps, its trace {len(steps)}"
    for name, table in (("grad_norm", steps), ("loss", micro)):
        values = table[name].to_numpy()
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            step = table["step"][int(bad[0])].as_py()
            yield f"{label}: {name} is {values[bad[0]]} at step {step}; agreement in that is none"
    for name, value in header.final_metrics.items():
        if not np.isfinite(value):
            yield f"{label}: final {name} is {value}"
    if not header.evaluations:
        yield f"{label}: the trained model was not evaluated"
    if len(steps) >= 2:
        for name, table in (
            ("loss", micro),
            ("gradients", steps),
            ("weights", steps),
            ("optimizer_state", steps),
        ):
            if len(table[name].unique()) == 1:
                yield f"{label}: {name} never changed, which no training does"
    unknown = sum(-1 in ids for ids in micro["sample_ids"].to_pylist())
    if unknown:
        yield f"{label}: {unknown} micro-batches hold rows that are not of the training set"


def _findings(reference: RunRecord, candidate: RunRecord) -> Iterator[Finding]:
    left, right = _figures(reference), _figures(candidate)
    for name in dict.fromkeys([*left, *right]):
        row, one, two = metric(name), left.get(name), right.get(name)
        outcome: Outcome = "inconclusive"
        if row.assumption == "exact":
            outcome = "identical" if one is not None and one == two else "different"
        yield Finding(
            metric=name,
            unit=row.unit,
            outcome=outcome,
            reference=one,
            candidate=two,
            ratio=two / one if one and two is not None else None,
        )


def _figures(record: RunRecord) -> dict[str, float]:
    header = record.header
    figures: dict[str, float] = {
        "steps": header.steps,
        "micro_batches": header.micro_batches,
        "samples": header.samples,
        "epochs": header.epochs,
        "parameters": header.parameters,
        **header.final_metrics,
    }
    if header.wall_s:
        figures |= {"wall_s": header.wall_s, "samples_per_s": header.samples / header.wall_s}
    return figures
