"""Several seeds a side: one case becomes one for each seed, and one comparison tells of them all.

The comparison is the highest rung that holds. `identical`: every seed is, bit for bit. Else the
final metrics over the seeds decide (`harness.stats`): `equivalent` where each of them is;
`different` where one is; else `inconclusive`. Whatever keeps a record from proving anything keeps
the seeds from agreeing.

A run that collapsed to one answer scores the same whatever trained it. It is left out, with its
partner of the same seed, and named; and where the sides did not collapse alike, what is left is no
fair sample of either, so that nothing is equivalent.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from harness.comparison.compare import compare
from harness.comparison.validity import order_faults, validity_doubts
from harness.errors import RecordError, SpecError, unknown_name
from harness.results.comparison import Comparison, Finding, Outcome, SeedOutcome
from harness.results.levels import not_recorded
from harness.results.metrics import METRICS, Margin, metric
from harness.results.record import COLLAPSE, RunRecord
from harness.spec.recipe import DETAILS
from harness.stats import ALPHA, MeansResult, compare_means

__all__ = ["compare_seeds", "parse_margins"]

_TESTS = f"two one-sided t-tests at {ALPHA:.0%} each"


def parse_margins(pairs: Iterable[str]) -> dict[str, Margin]:
    """Margins by metric, from texts such as 'accuracy=0.02' and 'loss=5%'. Raises `SpecError`."""
    judged = [name for name, row in METRICS.items() if row.margin is not None]
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SpecError("--margin takes METRIC=VALUE", repr(pair), "write accuracy=0.02")
        if name.strip() not in judged:
            raise unknown_name("metric for --margin", name.strip(), judged)
        found[name.strip()] = Margin.parse(value)
    return found


def compare_seeds(
    case: str,
    labels: tuple[str, str],
    reference: Mapping[int, RunRecord],
    candidate: Mapping[int, RunRecord],
    margins: Mapping[str, Margin],
) -> Comparison:
    """Judge two sides of which each has a record for each of its seeds.

    `margins` go before those of the table of metrics. Never raises for what stands in the records.
    """
    one, two = _Side(labels[0], reference), _Side(labels[1], candidate)
    everything = [*reference.values(), *candidate.values()]
    paired = set(reference) == set(candidate)
    bars = list(_bars(one, two))
    doubts: list[str] = []
    seeds = []
    if paired:
        for seed in sorted(reference):
            found = compare(reference[seed], candidate[seed], labels)
            if not bars:
                doubts += [f"seed {seed}: {doubt}" for doubt in found.doubts]
            collapsed = [side.label for side in (one, two) if seed in side.collapsed]
            seeds.append(
                SeedOutcome(
                    seed=seed,
                    outcome=found.outcome,
                    first_divergence=found.first_divergence,
                    left_out=f"{' and '.join(collapsed)} collapsed" if collapsed else "",
                )
            )
    else:
        doubts += [*_unsound(one), *_unsound(two)]
    same = paired and all(seed.outcome == "identical" for seed in seeds)
    left_out = one.collapsed | two.collapsed if paired else set()
    kept = one.without(left_out), two.without(left_out)
    doubts += _unfair(one, two, paired)
    findings, unjudged = _findings(kept[0], kept[1], margins, paired, same)
    doubts += unjudged

    outcomes = {found.outcome for found in findings}
    outcome: Outcome = "inconclusive"
    if bars or any(seed.outcome == "incomparable" for seed in seeds):
        outcome = "incomparable"
    elif "different" in outcomes:
        outcome = "different"
    elif outcomes == {"equivalent"} and not doubts:
        outcome = "identical" if same else "equivalent"
    parted = [seed.first_divergence for seed in seeds if seed.first_divergence is not None]
    return Comparison(
        case=case,
        reference=labels[0],
        candidate=labels[1],
        outcome=outcome,
        steps=min((record.header.steps for record in everything), default=0),
        first_divergence=parted[0] if parted else None,
        findings=tuple(findings),
        doubts=(*bars, *doubts, *_collapses(one), *_collapses(two)),
        seeds=tuple(seeds),
        test=_test(len(kept[0]), len(kept[1]), paired),
        detail=min((r.spec.detail for r in everything), key=DETAILS.index, default="full"),
        left_out=not_recorded(*everything),
    )


@dataclass(frozen=True)
class _Side:
    label: str
    records: Mapping[int, RunRecord]

    @property
    def collapsed(self) -> set[int]:
        """Seeds whose run collapsed."""
        return {seed for seed, record in self.records.items() if record.header.collapsed}

    def without(self, seeds: set[int]) -> list[RunRecord]:
        """The records that are judged, in the order of their seeds."""
        return [self.records[seed] for seed in sorted(self.records.keys() - self.collapsed - seeds)]


def _bars(one: _Side, two: _Side) -> Iterator[str]:
    """What makes two sides incomparable before any value is looked at."""
    workloads = {
        record.spec.case.workload for side in (one, two) for record in side.records.values()
    }
    if len(workloads) > 1:
        yield f"other workloads: {' and '.join(sorted(workloads))}"
    for side in (one, two):
        reasons: dict[str, set[int]] = {}
        for seed, record in sorted(side.records.items()):
            if record.header.status != "completed":
                error = record.header.error or "no reason recorded"
                reasons.setdefault(f"{record.header.status}: {error}", set()).add(seed)
        for reason, seeds in reasons.items():
            yield f"{side.label}, {_seeds(seeds)} {reason}"
    shared = one.records.keys() & two.records.keys()
    if shared and one.records.keys() != two.records.keys():
        yield (
            f"both sides have {_seeds(shared)} and not the others: "
            "train both with the same seeds, or with none of the other's"
        )


def _unsound(side: _Side) -> Iterator[str]:
    """What keeps single records from proving anything."""
    for seed, record in sorted(side.records.items()):
        try:
            for word in (*order_faults(record), *validity_doubts(record)):
                yield f"{side.label}, seed {seed}: {word}"
        except RecordError as error:
            yield str(error)


def _collapses(side: _Side) -> Iterator[str]:
    if side.collapsed:
        yield f"{COLLAPSE}, left out: {side.label} with {_seeds(side.collapsed)}"


def _unfair(one: _Side, two: _Side, paired: bool) -> Iterator[str]:
    """What leaving out the collapsed runs does to the sample that remains."""
    left, right = one.collapsed, two.collapsed
    if left != right if paired else len(left) != len(right):
        yield (
            "one side collapsed where the other did not, which is a difference of its own: "
            "what is left is no fair sample; find out why, or train with more seeds"
        )


def _findings(
    reference: Sequence[RunRecord],
    candidate: Sequence[RunRecord],
    margins: Mapping[str, Margin],
    paired: bool,
    same: bool,
) -> tuple[list[Finding], list[str]]:
    """A finding a metric, and what keeps metrics from being judged."""
    records = [*reference, *candidate]
    names = dict.fromkeys(name for record in records for name in record.header.final_metrics)
    findings, doubts = [], []
    for name in names:
        row = metric(name)
        one, two = (
            [record.header.final_metrics.get(name, math.nan) for record in side]
            for side in (reference, candidate)
        )
        means = [statistics.fmean(values) if values else None for values in (one, two)]
        margin = margins.get(name, row.margin)
        width = None if margin is None or means[0] is None else margin.around(means[0])
        if width is None:
            found = MeansResult("inconclusive", why="it has no margin; give its row in METRICS one")
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
        doubts.append("no metric is left to be judged")
    return findings, doubts


def _spread(one: list[float], two: list[float]) -> tuple[float, float] | None:
    """Standard deviation of each side, where both have one."""
    if min(len(one), len(two)) < 2 or not all(map(math.isfinite, (*one, *two))):
        return None
    return statistics.stdev(one), statistics.stdev(two)


def _test(one: int, two: int, paired: bool) -> str:
    if paired:
        return f"{_TESTS}, paired, over {one} seeds"
    return f"{_TESTS}, by Welch, over {one} seeds against {two} others"


def _seeds(seeds: AbstractSet[int]) -> str:
    """'seed 42' or 'seeds 42, 44'."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"
