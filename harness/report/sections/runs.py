"""The runs: status, final metrics, remarks, warnings and errors."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.document import Block, Column, Section, Sentence, Table, filled_columns
from harness.report.sections.metric_columns import DIRECTIONS, final_metrics, metric_columns
from harness.report.sections.pairs import pair_name
from harness.report.sections.seeds import equivalence_table, seeds_table
from harness.report.sections.source import Source
from harness.report.text.answers import implied
from harness.report.text.seeds import run_name
from harness.report.text.summary import remarks
from harness.report.text.values import distinct, shown
from harness.results.comparison import Comparison, Finding
from harness.results.metrics import Metric, metric
from harness.results.report import Report, RunSummary
from harness.units import number, quantity

__all__ = ["section"]


def section(source: Source) -> Section | None:
    """The runs, and the metrics that differ; none for a benchmark without traced runs."""
    report = source.report
    if report.bench and not report.runs:
        return None
    metrics = [metric(name) for name in final_metrics(report.runs)]
    singles = [run for run in report.runs if run.seed is None]
    tables = [
        _runs(singles, metrics, bool(report.bench)) if singles else None,
        seeds_table(report.runs, metrics),
    ]
    blocks: list[Block] = [table for table in tables if table is not None]
    if not blocks:
        blocks.append(Sentence("No run was recorded."))
    blocks += [equivalence_table(pair) for pair in report.comparisons if pair.test]
    shown = [
        pair
        for place, pair in enumerate(report.comparisons)
        if place not in implied(report.comparisons)
    ]
    blocks += [table for pair in shown if (table := _differing(pair))]
    for run in report.runs:
        blocks += _sentences(run)
    blocks += [Sentence(line) for line in _remedies(report)]
    return Section("metrics", "Final metrics", tuple(blocks))


def _runs(runs: Sequence[RunSummary], metrics: Sequence[Metric], timed: bool) -> Table:
    """`timed`: the report has a benchmark, beside which the speed of a traced run would mislead."""
    columns = (
        Column("case", "text"),
        Column("loop", "text"),
        Column("status", "outcome"),
        Column("steps", note="optimizer updates"),
        Column("samples", note="trained on", detail=True),
        Column("epochs", note="samples / rows", detail=True),
        *metric_columns(metrics),
        Column("wall time*", note=DIRECTIONS["lower"]),
        Column("samples/s*", note=DIRECTIONS["higher"], detail=True),
    )
    many_cases = len({run.case for run in runs}) > 1
    rows = tuple(
        (
            run.case if many_cases else "",  # the top of the report names a single case
            run.loop,
            run.status,
            str(run.steps),
            str(run.samples),
            number(run.epochs) if run.epochs or run.conventions else "",  # not known of a command
            *(quantity(run.final_metrics.get(row.name), row.unit) for row in metrics),
            "" if timed else quantity(run.wall_s, "s"),
            "" if timed else quantity(run.samples_per_s, ""),
        )
        for run in runs
    )
    caption = "Columns with * are from one traced run on a shared machine; not a benchmark."
    return filled_columns(
        Table("Runs and their final metrics", columns, rows, "" if timed else caption, 1)
    )


def _differing(pair: Comparison) -> Table | None:
    """The metrics in which a pair differs; None if there is none, or seeds were compared."""
    if pair.outcome != "different" or pair.test or pair.equality is not None:
        return None
    rows = tuple(
        (metric(found.metric).title, *_values(found), DIRECTIONS[metric(found.metric).better])
        for found in pair.findings
        if found.outcome == "different"
    )
    columns = (
        Column("metric", "text"),
        Column(pair.reference),
        Column(pair.candidate),
        Column("ratio"),
        Column("better", "text"),
    )
    caption = (
        f"{pair.case}: metrics in which {pair.candidate} differs from {pair.reference}; ratio: "
        f"{pair.candidate} / {pair.reference}."
    )
    name = f"Metrics that differ, {pair_name(pair)}"
    return Table(name, columns, rows, caption) if rows else None


def _values(found: Finding) -> tuple[str, str, str]:
    """Reference, candidate and ratio, with as many digits as show that they differ."""
    if found.reference is None or found.candidate is None:
        return shown(found.reference), shown(found.candidate), shown(found.ratio)
    ratio = "-" if found.ratio is None else distinct(found.ratio, 1.0)[0]
    return *distinct(found.reference, found.candidate), ratio


def _remedies(report: Report) -> list[str]:
    """How loops worked around faults of their frameworks, each remedy once."""
    lines = [
        f"Workaround in the loop {run.loop} for its library: {remedy}"
        for run in report.runs
        for remedy in run.remedies
    ]
    return list(dict.fromkeys(lines))


def _sentences(run: RunSummary) -> list[Sentence]:
    name = f"{run.case}, {run_name(run)}"
    found = [Sentence(f"{name}: {remark}") for remark in remarks(run)]
    found += [Sentence(f"{name}: {warning}", "warning") for warning in run.warnings]
    if run.error:
        text = f"{name} {run.status}: {run.error} (full record: {run.record}/record.json)"
        found.append(Sentence(text, "failed"))
    return found
