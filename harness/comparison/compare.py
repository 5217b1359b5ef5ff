"""Compares two records: the outcome, the first divergence, and every doubt about it.

`identical` requires that both runs recorded every stage, that all values are finite, that values
which must change did change, and that nothing differs. Whatever prevents this becomes a doubt, and
with a doubt the outcome is never `identical`. If both runs recorded the same lower detail, only its
stages are required; the comparison then states the detail and the stages that it leaves out.
Records of two different details leave a doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
from harness.spec.recipe import DETAILS

__all__ = ["compare"]

_NEEDED = [stage for stage in STAGES if stage != "config"]


def compare(reference: RunRecord, candidate: RunRecord, labels: tuple[str, str]) -> Comparison:
    """Compare `candidate` with `reference`; `labels` name the two runs in messages.

    Never raises for the content of records: a damaged record makes the pair `incomparable`.
    """
    both = ((reference, labels[0]), (candidate, labels[1]))
    not_run = [
        f"{label} not run: {record.header.error}"
        for record, label in both
        if record.header.status == "not run"
    ]
    if not_run:
        return incomparable(candidate.spec.case.name, *labels, "; ".join(not_run))
    obstacles = list(_obstacles(reference, candidate, labels))
    incomplete = [
        f"{label} {record.header.status}: {record.header.error or 'no reason recorded'}"
        for record, label in both
        if record.header.status not in ("completed", "stopped")
    ]
    doubts: list[str] = []
    stages: list[StageDifference] = []
    steps = 0
    norms: list[float] = []
    settings: tuple[SettingDifference, ...] = ()
    first: Divergence | None = None
    causes: tuple[Cause, ...] = ()
    try:
        obstacles += [
            f"{label}: {fault}" for record, label in both for fault in order_faults(record)
        ]
        doubts += [
            f"{label}: {fault}" for record, label in both for fault in validity_doubts(record)
        ]
        if not obstacles:
            stages = compare_stages(reference, candidate)
            steps = min(len(reference.steps), len(candidate.steps))
            settings = tuple(setting_differences(reference.header, candidate.header))
            first = _first(stages, settings)
            causes = causes_of(reference, candidate, labels, stages, first, settings)
        norms = [record.steps["grad_norm"][0].as_py() for record, _ in both if len(record.steps)]
    except RecordError as error:
        obstacles.append(str(error))
    needed = set(_NEEDED)
    if reference.spec.case.world_size != candidate.spec.case.world_size:
        needed -= {"batch_content", "rng"}  # the division into micro-batches differs by design
    left_out = not_recorded(reference, candidate)
    needed -= set(left_out)
    lower, higher = sorted(
        (record.spec.detail for record, _ in both), key=lambda detail: DETAILS.index(detail)
    )
    if lower != higher:
        only = next(label for record, label in both if record.spec.detail == lower)
        doubts.append(
            f"{only} was recorded at detail {lower} and the other run at {higher}, so these stages "
            f"are not compared: {', '.join(left_out)}; run both with --detail {higher}"
        )
    seen = {found.stage for found in stages}
    unseen = [stage for stage in _NEEDED if stage in needed - seen]
    if unseen:
        doubts.append(f"not recorded in both runs: {', '.join(unseen)}; run with the trace probe")
    metrics = _metrics(reference), _metrics(candidate)
    if len(norms) == 2 and None not in norms:
        metrics[0]["first_grad_norm"], metrics[1]["first_grad_norm"] = norms
    findings = tuple(_findings(*metrics))
    if first is None:
        doubts += [
            f"{found.metric} differs ({found.reference} and {found.candidate}), but no stage does"
            for found in findings
            if found.outcome == "different"
        ]
    outcome: Outcome = "identical"
    if obstacles or (incomplete and first is None):
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
        first_divergence=first,
        stages=tuple(stages),
        settings=settings,
        causes=causes,
        findings=findings,
        doubts=tuple(obstacles + incomplete + doubts),
        note=candidate.spec.case.note if outcome == "different" else "",
        detail=lower,
        left_out=left_out,
    )


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
        if record.spec.observe != "trace":
            yield f"{label} was a {record.spec.observe} run and holds no values; trace it"
    one, two = reference.header, candidate.header
    if one.spec.case.workload != two.spec.case.workload:
        yield f"the workloads differ: {one.spec.case.workload} and {two.spec.case.workload}"
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
