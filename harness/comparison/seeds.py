"""Compares two loops over several seeds of one case.

The outcome is the highest rung that holds. `identical`: every seed is identical, bit for bit.
Otherwise the final metrics over the seeds decide (`harness.stats`): `equivalent` if all of them
are, `different` if one of them is, else `inconclusive`. A doubt about the validity of a single
record prevents both `identical` and `equivalent`.

A collapsed run gives one answer to everything, so its metrics do not depend on the loop. It is left
out, together with the other run of its seed, and reported. If the two loops collapsed on different
seeds (or, without common seeds, on a different number), the remaining seeds are a biased sample and
the outcome is never `equivalent`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from harness.comparison.compare import compare
from harness.comparison.validity import order_faults, validity_doubts
from harness.errors import RecordError
from harness.results.comparison import Comparison, Finding, Outcome, SeedOutcome
from harness.results.levels import not_recorded
from harness.results.metrics import Margin, metric
from harness.results.record import COLLAPSE, RunRecord
from harness.spec.recipe import DETAILS
from harness.stats import ALPHA, MeansResult, compare_means

__all__ = ["compare_seeds"]

_TESTS = f"two one-sided t-tests at {ALPHA:.0%} each"


def compare_seeds(
    case: str,
    labels: tuple[str, str],
    reference: Mapping[int, RunRecord],
    candidate: Mapping[int, RunRecord],
    margins: Mapping[str, Margin],
) -> Comparison:
    """Compare two loops; `reference` and `candidate` hold a record for each seed.

    `margins` override those of the table of metrics. Never raises for the content of records.
    """
    one, two = _SeededRuns(labels[0], reference), _SeededRuns(labels[1], candidate)
    everything = [*reference.values(), *candidate.values()]
    paired = set(reference) == set(candidate)
    obstacles = list(_obstacles(one, two))
    doubts: list[str] = []
    seeds = []
    if paired:
        for seed in sorted(reference):
            found = compare(reference[seed], candidate[seed], labels)
            if not obstacles:
                doubts += [f"seed {seed}: {doubt}" for doubt in found.doubts]
            collapsed = [runs.label for runs in (one, two) if seed in runs.collapsed]
            seeds.append(
                SeedOutcome(
                    seed=seed,
                    outcome=found.outcome,
                    first_divergence=found.first_divergence,
                    left_out=f"{' and '.join(collapsed)} collapsed" if collapsed else "",
                )
            )
    else:
        doubts += [*_doubts_about_records(one), *_doubts_about_records(two)]
    same = paired and all(seed.outcome == "identical" for seed in seeds)
    left_out = one.collapsed | two.collapsed if paired else set()
    kept = one.without(left_out), two.without(left_out)
    doubts += _sample_bias(one, two, paired)
    findings, without_verdict = _findings(kept[0], kept[1], margins, paired, same)
    doubts += without_verdict

    outcomes = {found.outcome for found in findings}
    outcome: Outcome = "inconclusive"
    if obstacles or any(seed.outcome == "incomparable" for seed in seeds):
        outcome = "incomparable"
    elif "different" in outcomes:
        outcome = "different"
    elif outcomes == {"equivalent"} and not doubts:
        outcome = "identical" if same else "equivalent"
    divergences = [seed.first_divergence for seed in seeds if seed.first_divergence is not None]
    return Comparison(
        case=case,
        reference=labels[0],
        candidate=labels[1],
        outcome=outcome,
        steps=min((record.header.steps for record in everything), default=0),
        first_divergence=divergences[0] if divergences else None,
        findings=tuple(findings),
        doubts=(*obstacles, *doubts, *_collapses(one), *_collapses(two)),
        seeds=tuple(seeds),
        test=_test(len(kept[0]), len(kept[1]), paired),
        detail=min((r.spec.detail for r in everything), key=DETAILS.index, default="full"),
        left_out=not_recorded(*everything),
    )


@dataclass(frozen=True)
class _SeededRuns:
    label: str
    records: Mapping[int, RunRecord]

    @property
    def collapsed(self) -> set[int]:
        """Seeds whose run collapsed."""
        return {seed for seed, record in self.records.items() if record.header.collapsed}

    def without(self, seeds: set[int]) -> list[RunRecord]:
        """The records whose metrics are compared, in the order of their seeds."""
        return [self.records[seed] for seed in sorted(self.records.keys() - self.collapsed - seeds)]


def _obstacles(one: _SeededRuns, two: _SeededRuns) -> Iterator[str]:
    """What makes the two incomparable before any value is compared."""
    workloads = {
        record.run_spec.case.workload for runs in (one, two) for record in runs.records.values()
    }
    if len(workloads) > 1:
        yield f"the workloads differ: {' and '.join(sorted(workloads))}"
    for runs in (one, two):
        reasons: dict[str, set[int]] = {}
        for seed, record in sorted(runs.records.items()):
            if record.header.status != "completed":
                error = record.header.error or "no reason recorded"
                reasons.setdefault(f"{record.header.status}: {error}", set()).add(seed)
        for reason, seeds in reasons.items():
            yield f"{runs.label}, {_seeds(seeds)} {reason}"
    shared = one.records.keys() & two.records.keys()
    if shared and one.records.keys() != two.records.keys():
        yield (
            f"the two share {_seeds(shared)} but not all seeds: "
            "train both with the same seeds, or with no common seed"
        )


def _doubts_about_records(runs: _SeededRuns) -> Iterator[str]:
    """Doubts about the validity of single records."""
    for seed, record in sorted(runs.records.items()):
        try:
            for fault in (*order_faults(record), *validity_doubts(record)):
                yield f"{runs.label}, seed {seed}: {fault}"
        except RecordError as error:
            yield str(error)


def _collapses(runs: _SeededRuns) -> Iterator[str]:
    if runs.collapsed:
        yield f"{COLLAPSE}, left out: {runs.label} with {_seeds(runs.collapsed)}"


def _sample_bias(one: _SeededRuns, two: _SeededRuns, paired: bool) -> Iterator[str]:
    """The bias that remains after collapsed runs are left out."""
    left, right = one.collapsed, two.collapsed
    if left != right if paired else len(left) != len(right):
        yield (
            "the two collapsed differently, so the remaining seeds are a biased sample; find the "
            "reason, or train with more seeds"
        )


def _findings(
    reference: Sequence[RunRecord],
    candidate: Sequence[RunRecord],
    margins: Mapping[str, Margin],
    paired: bool,
    same: bool,
) -> tuple[list[Finding], list[str]]:
    """One finding per metric, and the reasons why metrics have no verdict."""
    records = [*reference, *candidate]
    names = dict.fromkeys(name for record in records for name in record.header.final_metrics)
    findings, doubts = [], []
    for name in names:
        row = metric(name)
        one, two = (
            [record.header.final_metrics.get(name, math.nan) for record in records_of]
            for records_of in (reference, candidate)
        )
        means = [statistics.fmean(values) if values else None for values in (one, two)]
        margin = margins.get(name, row.margin)
        width = None if margin is None or means[0] is None else margin.around(means[0])
        if width is None:
            found = MeansResult(
                "inconclusive", why="it has no margin; add one to its row in METRICS"
            )
        else:
            found = compare_means(one, two, width, paired, exact=same)
        if found.why:
            doubts.append(f"{row.title}: {found.why}")
        findings.append(
            Finding(
                metric=name,
                unit=row.unit,
                outcome=found.outcome,
                reference=means[0],
                candidate=means[1],
                ratio=means[1] / means[0] if means[0] and means[1] is not None else None,
                interval=found.interval,
                margin=width,
                spread=_spread(one, two),
                needed=found.needed,
            )
        )
    if not findings:
        doubts.append("no metric is left to compare")
    return findings, doubts


def _spread(one: list[float], two: list[float]) -> tuple[float, float] | None:
    """The two standard deviations; None if one of them does not exist."""
    if min(len(one), len(two)) < 2 or not all(map(math.isfinite, (*one, *two))):
        return None
    return statistics.stdev(one), statistics.stdev(two)


def _test(one: int, two: int, paired: bool) -> str:
    if paired:
        return f"{_TESTS}, paired, over {one} seeds"
    return f"{_TESTS}, by Welch, over {one} reference seeds and {two} candidate seeds"


def _seeds(seeds: AbstractSet[int]) -> str:
    """'seed 42' or 'seeds 42, 44'."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"
