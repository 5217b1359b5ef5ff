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

from harness.comparison.alignment import Alignment
from harness.comparison.causes.agreement import proven
from harness.comparison.causes.evidence import evidence_of
from harness.comparison.causes.table import causes_of
from harness.comparison.counts import common_counts, counts, findings
from harness.comparison.different_models import different_models, explaining_nothing
from harness.comparison.facts.find import facts_of
from harness.comparison.names import Rename, match_tensors
from harness.comparison.rates import compared_by_parameter, optimized_in_one
from harness.comparison.recorded import (
    detail_doubts,
    every,
    lower_first,
    unrecorded,
    without_stages,
)
from harness.comparison.renamed_record import with_names
from harness.comparison.stages import aligned_stages
from harness.comparison.updates import Cut, cut_of
from harness.comparison.validity import order_faults, validity_doubts
from harness.errors import RecordError
from harness.results.comparison import Cause, Comparison, Fact, Outcome, incomparable
from harness.results.divergence import Divergence, StageDifference
from harness.results.levels import not_recorded
from harness.results.record import RunRecord
from harness.results.settings import SettingDifference, setting_differences
from harness.spec.case import RunSpec
from harness.spec.command import CommandSpec
from harness.units import counted

__all__ = ["compare"]


@dataclass(frozen=True)
class _Values:
    """What the values of two records show; nothing if they cannot be compared."""

    steps: int = 0
    stages: tuple[StageDifference, ...] = ()
    settings: tuple[SettingDifference, ...] = ()
    first: Divergence | None = None
    facts: tuple[Fact, ...] = ()
    causes: tuple[Cause, ...] = ()
    unnamed: str = ""
    alignment: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    cut: Cut | None = None
    same_model: bool = True
    nothing_in_common: bool = False
    different_models: str = ""


def compare(
    reference: RunRecord,
    candidate: RunRecord,
    labels: tuple[str, str],
    renames: Sequence[Rename] = (),
) -> Comparison:
    """Compare `candidate` with `reference`; `labels` name the two runs in messages.

    `renames`: prefixes of the candidate's parameter names that are replaced before names are
    matched. Never raises for the content of records: a damaged record makes the pair
    `incomparable`.
    """
    try:
        return _compare(reference, candidate, labels, renames)
    except Exception as error:  # noqa: BLE001  # no record may end a comparison of many
        why = f"{type(error).__name__}: {error}"
        return incomparable(
            candidate.spec.case_name,
            *labels,
            f"the two records cannot be compared; this is a fault of the harness ({why})",
        )


def _compare(
    reference: RunRecord,
    candidate: RunRecord,
    labels: tuple[str, str],
    renames: Sequence[Rename],
) -> Comparison:
    """As `compare`, for records whose content this version knows how to refuse."""
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
    values, metrics = _Values(), (counts(reference), counts(candidate))
    try:
        obstacles += [
            f"{label}: {fault}" for record, label in pair for fault in order_faults(record)
        ]
        doubts += [
            f"{label}: {fault}" for record, label in pair for fault in validity_doubts(record)
        ]
        if not obstacles:
            values = _compare_values(reference, candidate, labels, renames)
        norms = [record.steps["grad_norm"][0].as_py() for record, _ in pair if len(record.steps)]
        in_shares = any(record.header.in_shares for record, _ in pair)
        # In another order of the tensors, norms of equal gradients differ by rounding.
        alike = values.same_model and not in_shares
        if len(norms) == 2 and None not in norms and alike:
            metrics[0]["first_grad_norm"], metrics[1]["first_grad_norm"] = norms
    except RecordError as error:
        obstacles.append(str(error))
    left_out = without_stages(pair, values.stages)
    doubts += [*values.doubts, *detail_doubts(pair)]
    if not obstacles and not incomplete:
        doubts += unrecorded(pair, values.stages, left_out, values.cut, values.nothing_in_common)
    compared = tuple(findings(*common_counts(pair, metrics, values.cut)))
    if values.first is None and not incomplete:  # else the counts differ because a run ended
        doubts += [
            f"{found.metric} differs ({found.reference} and {found.candidate}), but no stage does"
            for found in compared
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
        facts=values.facts,
        causes=values.causes,
        unnamed=values.unnamed,
        findings=compared,
        doubts=tuple(obstacles + incomplete + doubts),
        note=_note(candidate) if outcome == "different" else "",
        detail=lower_first(pair)[0][0].spec.detail,
        left_out=not_recorded(reference, candidate),
        not_recorded=tuple(left_out) if not obstacles else (),
        every=max(every(record) for record, _ in pair),
        alignment=values.alignment,
        different_models=values.different_models,
    )


def _note(record: RunRecord) -> str:
    """Why loops are known to differ on the case of a run."""
    return record.spec.case.note if isinstance(record.spec, RunSpec) else ""


def _compare_values(
    reference: RunRecord,
    candidate: RunRecord,
    labels: tuple[str, str],
    renames: Sequence[Rename],
) -> _Values:
    """Compare the stages and settings, and look for causes. Raises `RecordError`."""
    match = match_tensors(reference, candidate, renames)
    candidate = with_names(candidate, match)
    both = Alignment(reference, candidate)
    cut = cut_of(both)
    stages = aligned_stages(both, cut)
    settings = setting_differences(reference.header, candidate.header)
    first = _first(stages, settings)
    evidence = evidence_of(reference, candidate, labels, stages, first, settings)
    causes, unnamed = causes_of(evidence), ""
    commands = all(isinstance(r.spec, CommandSpec) for r in (reference, candidate))
    if commands and match.by_values and first is not None:
        causes, unnamed = proven(causes, None), f"these may be two programs, {match.sentence}"
    facts = facts_of(evidence, cut)
    models = different_models(match, reference, candidate)
    if models:
        causes, unnamed, facts = (), models, explaining_nothing(facts)
    names = [record.spec.case_name for record in (reference, candidate)]
    alignment = ["" if models else match.sentence, cut.sentence if cut is not None else ""]
    if names[0] != names[1] and all(isinstance(r.spec, RunSpec) for r in (reference, candidate)):
        alignment.insert(0, f"the cases have other names: {names[0]} and {names[1]}")
    doubts = []
    if len(both.steps) and not compared_by_parameter(both):
        doubts.append("not recorded in both runs: which parameter has which learning rate")
    if both.out_of_sight:
        what = counted(len(both.out_of_sight), "frozen tensor")
        doubts.append(
            f"not recorded in both runs: {what}, since modules do not own all parameters of one run"
        )
    if first is None:
        doubts.append(optimized_in_one(both))
    return _Values(
        steps=min(len(reference.steps), len(candidate.steps)),
        stages=tuple(stages),
        settings=tuple(settings),
        first=first,
        facts=facts,
        causes=causes,
        unnamed=unnamed,
        alignment=tuple(filter(None, alignment)),
        doubts=tuple(filter(None, doubts)),
        cut=cut,
        same_model=both.same_model,
        nothing_in_common=match.nothing_in_common,
        different_models=models,
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
        if record.header.probe_fault is not None:
            yield (
                f"{label}: the harness's probe failed and detached during the run, so its record "
                "is incomplete; this is a fault of the harness, not of the training: "
                f"{record.header.probe_fault}"
            )
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
