"""A report -> tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.report.formats.page import conventions, headline, shown
from harness.report.text import (
    explanation as explained,
)
from harness.report.text import (
    modules as localization,
)
from harness.report.text import (
    noise,
    speeds,
)
from harness.report.text import (
    regression as gate,
)
from harness.report.text import (
    upgrade as upgraded,
)
from harness.report.text.causes import reasons, settings_rows
from harness.report.text.seeds import gathered, judged, run_name, seed_lines
from harness.report.text.summary import first_lines, remarks
from harness.results.benchmark import BenchResult
from harness.results.comparison import Comparison
from harness.results.explanation import Explanation
from harness.results.metrics import metric
from harness.results.regression import CheckResult
from harness.results.report import Report, RunSummary
from harness.results.upgrade import UpgradeResult
from harness.units import quantity

__all__ = ["print_report"]

_MANY = 12  # runs; of more only the comparisons are printed
_FEW = 3  # pairs whose fields are printed; of more only the sentences are
_COLOURS = {
    "identical": "green",
    "within_noise": "green",
    "different": "red",
    "equivalent": "green",
    "failed": "red",
    "regression": "red",
    "regressed": "red",
    "improved": "green",
}


def print_report(report: Report, console: Console) -> None:
    """Runs, comparisons, what stands behind them, and the verdict last."""
    singles = [run for run in report.runs if run.seed is None]
    if len(singles) <= _MANY and (singles or not report.runs):
        console.print(_runs(singles))
    if gathered(report.runs):
        console.print(_gathered(report))
    if conventions(report):
        console.print(_conventions(report))
    traced = [pair for pair in report.comparisons if pair.equality is None]
    if traced and (report.upgrade or not report.bench):
        console.print(_comparisons(traced))
    if any(comparison.test for comparison in report.comparisons):
        console.print(_judged(report))
    noisy = [comparison for comparison in report.comparisons if comparison.noise is not None]
    for comparison in noisy if len(noisy) <= _FEW else ():
        console.print(_noise(comparison))
    for run in report.runs:
        for remark in remarks(run):
            console.print(Text(f"{run.case}, {run_name(run)}: {remark}"))
        for warning in run.warnings:
            console.print(Text(f"{run.case}, {run_name(run)}: {warning}", style="yellow"))
        if run.error:
            text = f"{run.case}, {run_name(run)} {run.status}: {run.error}"
            console.print(Text(text, style="red"))
    for found in report.explanations:
        if found.contributions:
            console.print(_explained(found))
            console.print(Text(explained.caption(found)))
        for line in explained.lines(found):
            console.print(Text(line))
    if report.gate is not None:
        _print_gate(report.gate, console)
    if report.upgrade is not None:
        _print_upgrade(report.upgrade, console)
    for line in upgraded.skipped(report.bisect) if report.bisect else ():
        console.print(Text(line, style="yellow"))
    for line in first_lines(report) if report.upgrade or not report.bench else ():
        console.print(Text(line))
    apart = [c for c in report.comparisons if c.outcome == "different" and not c.test]
    for comparison in apart if len(apart) <= _FEW else ():
        _print_causes(comparison, console)
    for comparison in report.comparisons:
        for line in seed_lines(comparison):
            text = f"{comparison.case}, {comparison.candidate} against {comparison.reference}, "
            console.print(Text(text + line))
        if comparison.localization is not None:
            pair = f"{comparison.case}, {comparison.candidate} against {comparison.reference}, "
            console.print(Text(pair + localization.sentence(comparison.localization)))
        for doubt in comparison.doubts:
            text = f"{comparison.case}, {comparison.candidate}: {doubt}"
            console.print(Text(text, style="yellow"))
    for case, result in report.bench.items():
        _print_speeds(report, case, result, console)
    colour = _COLOURS.get(report.verdict, "yellow")
    console.print(f"[bold {colour}]{headline(report)}[/] ({report.verdict})")


def _print_upgrade(upgrade: UpgradeResult, console: Console) -> None:
    """What changed and what not, and the versions."""
    table = Table("package", *map(escape, upgrade.sides), title="Packages", title_justify="left")
    for row in upgraded.versions(upgrade):
        table.add_row(*map(escape, row))
    if upgrade.packages:
        console.print(table)
    for heading, sentences in upgraded.lists(upgrade):
        console.print(Text(f"{heading}:", style="bold"))
        for line in sentences:
            console.print(Text(f"  {line}"))


def _print_gate(result: CheckResult, console: Console) -> None:
    """Each list but of what is unchanged, the worst first."""
    for name, items in gate.lists(result):
        table = Table(title_justify="left", title_style=_COLOURS.get(name, "yellow"))
        table.title = name.capitalize()
        for heading in gate.HEADINGS:
            table.add_column(heading, overflow="fold")
        for row in gate.rows(items):
            table.add_row(*map(escape, row))
        console.print(table)
    for baseline in result.baselines:
        console.print(Text(gate.used(baseline)), soft_wrap=True)


def _print_speeds(report: Report, case: str, result: BenchResult, console: Console) -> None:
    """How they were measured, the figures of each arm, the pairs, and the last sentence."""
    pairs = [comparison for comparison in report.comparisons if comparison.case == case]
    for title, headings, rows in (
        (f"Arms, {case}", speeds.FIGURES, speeds.figures(result)),
        ("Where a profiled step's time goes", speeds.PARTS, speeds.parts(result)),
        (f"Speed, {case}", speeds.HEADINGS, speeds.judged(pairs)),
    ):
        table = Table(*headings, title=escape(title), title_justify="left")
        for row in rows:
            table.add_row(*map(escape, row))
        if rows:
            console.print(table)
    for line in (*speeds.how(result), result.conclusion):
        console.print(Text(line))


def _print_causes(comparison: Comparison, console: Console) -> None:
    """What exactly differs first, each cause with its evidence and remedy, and the settings."""
    pair = f"{comparison.candidate} against {comparison.reference}"
    for line in reasons(comparison):
        console.print(Text(f"{pair}. {line}", style="cyan"))
    for name, one, two in settings_rows(comparison):
        console.print(Text(f"{pair}. Setting {name}: {two} against {one}", style="dim"))


def _runs(runs: Sequence[RunSummary]) -> Table:
    names = list(dict.fromkeys(name for run in runs for name in run.final_metrics))
    table = Table(
        title="Runs", caption="* of one traced run: not a benchmark", title_justify="left"
    )
    for heading in ("case", "loop", "status"):
        table.add_column(heading, overflow="fold")
    for heading in ("steps", "samples", *(escape(metric(name).title) for name in names)):
        table.add_column(heading, justify="right")
    table.add_column("wall time*", justify="right")
    table.add_column("samples/s*", justify="right")
    for run in runs:
        values = (quantity(run.final_metrics.get(name), metric(name).unit) for name in names)
        table.add_row(
            escape(run.case),
            escape(run.loop),
            run.status,
            str(run.steps),
            str(run.samples),
            *values,
            quantity(run.wall_s, "s"),
            quantity(run.samples_per_s, ""),
        )
    return table


def _gathered(report: Report) -> Table:
    rows = gathered(report.runs)
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    table = Table(title="Runs: mean ± standard deviation over the seeds", title_justify="left")
    for heading in ("case", "loop", "seeds", "status"):
        table.add_column(heading, overflow="fold")
    for name in names:
        table.add_column(escape(metric(name).title), justify="right")
    for row in rows:
        values = (row.metrics.get(name, "-") for name in names)
        table.add_row(escape(row.case), escape(row.loop), row.seeds, row.status, *values)
    return table


def _judged(report: Report) -> Table:
    table = Table(
        title="Final metrics over the seeds: 90% interval of candidate - reference",
        title_justify="left",
    )
    for heading in ("case", "pair", "metric", "interval", "margin", "outcome", "seeds needed"):
        table.add_column(heading, overflow="fold")
    for comparison in report.comparisons:
        pair = escape(f"{comparison.candidate} against {comparison.reference}")
        for row in judged(comparison):
            outcome = f"[{_COLOURS.get(row.outcome, 'yellow')}]{row.outcome}[/]"
            cells = (escape(row.title), escape(row.interval), row.margin, outcome, row.needed)
            table.add_row(escape(comparison.case), pair, *cells)
    return table


def _conventions(report: Report) -> Table:
    loops = list(dict.fromkeys(run.loop for run in report.runs))
    table = Table(title="Conventions: where a loop departs from the recipe", title_justify="left")
    for heading in ("field", "recipe", *loops):
        table.add_column(escape(heading))
    for case, name, values in conventions(report):
        asked = shown(report.recipes[case][name])
        table.add_row(name, escape(asked), *(escape(values.get(loop, "")) for loop in loops))
    return table


def _noise(comparison: Comparison) -> Table:
    """One pair against the noise of its reference, field by field."""
    assert comparison.noise is not None
    pair = f"{comparison.case}: {comparison.candidate} against {comparison.reference}"
    table = Table(title=f"Noise, {escape(pair)}", title_justify="left")
    for heading in noise.HEADINGS:
        table.add_column(heading, overflow="fold")
    for *cells, outcome in noise.rows(comparison.noise):
        table.add_row(
            *map(escape, cells), f"[{_COLOURS.get(outcome, 'yellow')}]{escape(outcome)}[/]"
        )
    return table


def _explained(found: Explanation) -> Table:
    """What each field does, alone and after the ones before it."""
    pair = f"{found.case}: {found.candidate} against {found.reference}"
    table = Table(title=f"Explained, {escape(pair)}", title_justify="left")
    for number, heading in enumerate(explained.HEADINGS):
        table.add_column(heading, overflow="fold", no_wrap=not number)
    for row in explained.rows(found):
        table.add_row(*map(escape, row))
    return table


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    table = Table(title="Comparisons", title_justify="left")
    for heading in ("case", "reference", "candidate", "outcome", "steps", "first divergence"):
        table.add_column(heading, justify="right" if heading == "steps" else "left")
    for comparison in comparisons:
        first = comparison.first_divergence
        where = "" if first is None else f"step {first.step}, {first.stage}"
        table.add_row(
            escape(comparison.case),
            escape(comparison.reference),
            escape(comparison.candidate),
            f"[{_COLOURS.get(comparison.outcome, 'yellow')}]{comparison.outcome}[/]",
            str(comparison.steps),
            where,
        )
    return table
