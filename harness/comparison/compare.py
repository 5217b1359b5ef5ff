"""Compares two records: the outcome, the first divergence, and every doubt about it.

`identical` requires that both runs recorded every stage, that all values are finite, that values
which must change did change, and that nothing differs. Whatever prevents this becomes a doubt, and
with a doubt the outcome is never `identical`. If both runs recorded the same lower detail, only its
stages are required; the comparison then states the detail and the stages that it leaves out.
Records of two different details leave a doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.comparison.causes.table import causes_of
from harness.comparison.stages import compare_stages
from harness.comparison.validity import order_faults, validity_doubts
from harness.errors import RecordError
from harness.results.comparison import Cause, Comparison, Finding, Outcome, incomparable
from harness.results.divergence import STAGES, Divergence, StageDifference
from harness.results.levels import not_recorded
from harness.results.metrics import metric
from harness.results.record import RunRecord
from harness.results.settings import SettingDifference, setting_differences
from harness.spec.case import RunSpec
from harness.spec.recipe import DETAILS

__all__ = ["compare"]

_NEEDED = [stage for stage in STAGES if stage != "config"]

LabelledPair = tuple[tuple[RunRecord, str], tuple[RunRecord, str]]


@dataclass(frozen=True)
class _Values:
    """What the values of two records show; nothing if they cannot be compared."""

    steps: int = 0
    stages: tuple[StageDifference, ...] = ()
    settings: tuple[SettingDifference, ...] = ()
    first: Divergence | None = None
    causes: tuple[Cause, ...] = ()


def compare(reference: RunRecord, candidate: RunRecord, labels: tuple[str, str]) -> Comparison:
    """Compare `candidate` with `reference`; `labels` name the two runs in messages.

    Never raises for the content of records: a damaged record makes the pair `incomparable`.
    """
    pair = ((reference, labels[0]), (candidate, labels[1]))
    not_run = [
        f"{label} not run: {record.header.error}"
        for record, label in pair
        if record.header.status == "not run"
    ]
    if not_run:
        return incomparable(candidate.spec.case_name, *labels, "; ".join(not_run))
    obstacles = list(_obstacles(reference, candidate, labels))
    incomplete = [
        f"{label} {record.header.status}: {record.header.error or 'no reason recorded'}"
        for record, label in pair
        if record.header.status not in ("completed", "stopped")
    ]
    doubts: list[str] = []
    values, metrics = _Values(), (_metrics(reference), _metrics(candidate))
    try:
        obstacles += [
            f"{label}: {fault}" for record, label in pair for fault in order_faults(record)
        ]
        doubts += [
            f"{label}: {fault}" for record, label in pair for fault in validity_doubts(record)
        ]
        if not obstacles:
            values = _compare_values(reference, candidate, labels)
        norms = [record.steps["grad_norm"][0].as_py() for record, _ in pair if len(record.steps)]
        if len(norms) == 2 and None not in norms:
            metrics[0]["first_grad_norm"], metrics[1]["first_grad_norm"] = norms
    except RecordError as error:
        obstacles.append(str(error))
    doubts += [*_detail_doubts(pair), *_unrecorded(pair, values.stages)]
    findings = tuple(_findings(*metrics))
    if values.first is None:
        doubts += [
            f"{found.metric} differs ({found.reference} and {found.candidate}), but no stage does"
            for found in findings
            if found.outcome == "different"
        ]
    outcome: Outcome = "identical"
    if obstacles or (incomplete and values.first is None):
        outcome = "incomparable"
    elif values.first is not None:
        outcome = "different"
    elif doubts:
        outcome = "inconclusive"
    return Comparison(
        case=candidate.spec.case_name,
        reference=labels[0],
        candidate=labels[1],
        outcome=outcome,
        steps=values.steps,
        first_divergence=values.first,
        stages=values.stages,
        settings=values.settings,
        causes=values.causes,
        findings=findings,
        doubts=tuple(obstacles + incomplete + doubts),
        note=_note(candidate) if outcome == "different" else "",
        detail=_lower_first(pair)[0][0].spec.detail,
        left_out=not_recorded(reference, candidate),
    )


def _note(record: RunRecord) -> str:
    """Why loops are known to differ on the case of a run."""
    return record.spec.case.note if isinstance(record.spec, RunSpec) else ""


def _compare_values(reference: RunRecord, candidate: RunRecord, labels: tuple[str, str]) -> _Values:
    """Compare the stages and settings, and look for causes. Raises `RecordError`."""
    stages = compare_stages(reference, candidate)
    settings = setting_differences(reference.header, candidate.header)
    first = _first(stages, settings)
    return _Values(
        steps=min(len(reference.steps), len(candidate.steps)),
        stages=tuple(stages),
        settings=tuple(settings),
        first=first,
        causes=causes_of(reference, candidate, labels, stages, first, settings),
    )


def _lower_first(pair: LabelledPair) -> list[tuple[RunRecord, str]]:
    """The two runs, the one with the lower detail first."""
    return sorted(pair, key=lambda run: DETAILS.index(run[0].spec.detail))


def _detail_doubts(pair: LabelledPair) -> Iterator[str]:
    """A doubt if the two records have different details."""
    (lower, label), (higher, _) = _lower_first(pair)
    if lower.spec.detail != higher.spec.detail:
        yield (
            f"{label} was recorded at detail {lower.spec.detail} and the other run at "
            f"{higher.spec.detail}, so these stages are not compared: "
            f"{', '.join(not_recorded(lower, higher))}; "
            f"run both with --detail {higher.spec.detail}"
        )


def _unrecorded(pair: LabelledPair, stages: Sequence[StageDifference]) -> Iterator[str]:
    """A doubt if a stage that both details require is not recorded in both runs."""
    (one, _), (two, _) = pair
    excused = {*not_recorded(one, two), *(found.stage for found in stages)}
    if one.spec.processes != two.spec.processes:
        excused |= {"batch_content", "rng"}  # the division into micro-batches differs by design
    missing = [stage for stage in _NEEDED if stage not in excused]
    if missing:
        yield f"not recorded in both runs: {', '.join(missing)}; run with the trace probe"


def _first(
    stages: Sequence[StageDifference], settings: Sequence[SettingDifference]
) -> Divergence | None:
    """The earliest divergence; one in the settings counts only if a setting is decisive."""
    decisive = any(setting.decisive for setting in settings)
    firsts = [
        found.first
        for found in stages
        if found.first is not None and (found.stage != "config" or decisive)
    ]
    return min(firsts, key=lambda divergence: divergence.place, default=None)


def _obstacles(
    reference: RunRecord, candidate: RunRecord, labels: tuple[str, str]
) -> Iterator[str]:
    """What makes a pair incomparable before any value is compared."""
    for record, label in zip((reference, candidate), labels, strict=True):
        if record.spec.observed != "trace":
            yield f"{label} was a {record.spec.observed} run and holds no values; trace it"
    one, two = reference.header, candidate.header
    workloads = [each.spec.case.workload for each in (one, two) if isinstance(each.spec, RunSpec)]
    if len({*workloads}) > 1:
        yield f"the workloads differ: {workloads[0]} and {workloads[1]}"
    if one.digest_algorithm != two.digest_algorithm:
        digests = f"{one.digest_algorithm!r} and {two.digest_algorithm!r}"
        if one.digest_algorithm and two.digest_algorithm:
            digests += "; run both with --digests device"
        yield f"the digest algorithms differ: {digests}"


def _findings(left: dict[str, float], right: dict[str, float]) -> Iterator[Finding]:
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


def _metrics(record: RunRecord) -> dict[str, float]:
    header = record.header
    metrics: dict[str, float] = {
        "steps": header.steps,
        "micro_batches": header.micro_batches,
        "samples": header.samples,
        "epochs": header.epochs,
        "parameters": header.parameters,
        **header.final_metrics,
    }
    if header.wall_s:
        metrics |= {"wall_s": header.wall_s, "samples_per_s": header.samples / header.wall_s}
    return metrics
