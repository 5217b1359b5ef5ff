"""The counts and final metrics of two runs."""

from __future__ import annotations

from collections.abc import Iterator

from harness.comparison.recorded import LabelledPair
from harness.comparison.updates import Cut
from harness.results.comparison import Finding, Outcome
from harness.results.metrics import metric
from harness.results.record import RunRecord
from harness.spec.command import CommandSpec

__all__ = ["common_counts", "counts", "findings"]


def counts(record: RunRecord) -> dict[str, float]:
    """The counts, speed and final metrics of a run, by the name of the metric."""
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


def common_counts(
    pair: LabelledPair, metrics: tuple[dict[str, float], dict[str, float]], cut: Cut | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Without counts that differ by design, and without what a command cannot record."""
    one, two = metrics
    dropped = {"micro_batches"} if cut is not None else set()
    for record, _ in pair:
        if isinstance(record.spec, CommandSpec):
            dropped |= {"samples", "epochs", "samples_per_s"} | ({*one} ^ {*two})
    kept = [{name: x for name, x in each.items() if name not in dropped} for each in metrics]
    return kept[0], kept[1]


def findings(left: dict[str, float], right: dict[str, float]) -> Iterator[Finding]:
    """One finding for each metric of either run; exact ones are compared."""
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
