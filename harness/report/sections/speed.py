"""The speed of a benchmark's pairs: ratios, figures of each arm, and the method."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.report.document import (
    Block,
    Bullets,
    Column,
    Figure,
    Figures,
    Folded,
    Section,
    Sentence,
    Subsection,
    Table,
)
from harness.report.plots.benchmark import BenchPlots
from harness.report.sections.sessions import sessions_table
from harness.report.sections.source import Source
from harness.report.text.speeds import TOO_LARGE, change, equality, how
from harness.report.text.values import capitalized
from harness.results.benchmark import ArmFigures, BenchResult
from harness.results.comparison import Comparison
from harness.results.metrics import metric
from harness.units import number, quantity

__all__ = ["section"]

_PAIRS = (
    Column("pair", "text"),
    Column("metric", "text"),
    Column("ratio", note="above 1 is slower"),
    Column("interval", note="of the ratio"),
    Column("outcome", "outcome"),
    Column("detectable from", note="smallest slowdown"),
    Column("values", "text"),
)
_ARMS: tuple[tuple[str, str, Callable[[ArmFigures], str]], ...] = (
    ("step", "wall, lower is better", lambda arm: quantity(arm.step_s, "s")),
    ("own time", "per step, lower is better", lambda arm: quantity(arm.own_step_s, "s")),
    ("CPU time", "per step, lower is better", lambda arm: quantity(arm.cpu_step_s, "s")),
    ("samples/s", "higher is better", lambda arm: quantity(arm.samples_per_s, "")),
    ("tokens/s", "higher is better", lambda arm: _whole(arm.tokens_per_s)),
    ("tokens/s, padded", "padding included", lambda arm: _whole(arm.padded_tokens_per_s)),
    ("first step", "lower is better", lambda arm: quantity(arm.first_step_s, "s")),
    ("start-up", "lower is better", lambda arm: quantity(arm.startup_s, "s")),
    ("peak memory", "resident, lower is better", lambda arm: _bytes(arm.peak_resident_bytes)),
    ("for tensors", "at their peak", lambda arm: _bytes(arm.peak_allocated_bytes)),
    ("reserved", "on the device, at its peak", lambda arm: _bytes(arm.peak_reserved_bytes)),
    ("GFLOP per step", "matrix products", lambda arm: _gflop(arm.flops_per_step)),
    ("share of peak", "higher is better", lambda arm: _percent(arm.share_of_peak)),
)
"""The figures of an arm: name, what is better, value."""
_PARTS = ("data", "forward", "backward", "optimizer", "rest")
_RATIOS_CAPTION = (
    "Ratio of each pair with its interval. Band: the margin, inside which a difference is "
    "negligible. Grey: the control, the reference compared with itself."
)
_PARTS_CAPTION = (
    "Time of a profiled step by part, lower is better. The rest is the work of the loop and its "
    "framework."
)


def section(source: Source) -> Section | None:
    """Each timed case; none if the report has no benchmark."""
    report = source.report
    if not report.bench:
        return None
    blocks: list[Block] = []
    for case, result in report.bench.items():
        pairs = [pair for pair in report.comparisons if pair.case == case]
        plots = source.plots.benches.get(case) if source.plots else None
        blocks += _case(case, result, pairs, plots)
    return Section("speed", "Speed", tuple(blocks))


def _case(
    case: str, result: BenchResult, pairs: Sequence[Comparison], plots: BenchPlots | None
) -> list[Block]:
    """The ratios, which answer; then the figures of the arms; the rest is folded."""
    fast: list[Block] = []
    if result.control_why_not:
        fast.append(Sentence(result.conclusion, "warning"))
    if plots:
        fast.append(Figures((Figure(plots.ratios, _RATIOS_CAPTION),)))
    fast.append(_pairs_table(case, pairs))
    fast.append(_arms_table(case, result))
    if any(arm.parts for arm in result.arms):
        parts = _parts_table(case, result)
        fast.append(Folded(parts.name, (parts,)))
    blocks: list[Block] = [Subsection(f"{case}: speed", tuple(fast))]
    drawn = [plot for plot in (plots.rounds, plots.memory) if plot] if plots else []
    if drawn:
        figures = Figures(tuple(Figure(plot, capitalized(plot.title)) for plot in drawn))
        blocks.append(Folded(f"{case}: step time over the rounds, and memory", (figures,)))
    known: list[Block] = [Bullets(tuple(how(result)))]
    if plots and plots.sessions:
        arms = [arm.name for arm in result.arms]
        known.append(sessions_table(case, plots.sessions, arms, result.statistic))
    elif plots:
        known.append(Sentence(f"{capitalized(plots.note)}."))
    blocks.append(Folded(f"{case}: method and certainty", tuple(known)))
    return blocks


def _pairs_table(case: str, pairs: Sequence[Comparison]) -> Table:
    rows = []
    for pair in pairs:
        for found in pair.findings if pair.equality is not None else ():
            assert found.ratio is not None
            assert found.interval is not None
            seen = found.smallest_visible
            rows.append(
                (
                    f"{pair.candidate} against {pair.reference}",
                    metric(found.metric).title,
                    number(found.ratio),
                    " to ".join(map(_bound, found.interval)),
                    found.outcome,
                    "-" if seen is None else change(seen),
                    equality(pair),
                )
            )
    return Table(f"Speed of the pairs, {case}", _PAIRS, tuple(rows))


def _bound(value: float) -> str:
    return f"{value:.4f}" if value < TOO_LARGE else number(value, 2)


def _arms_table(case: str, result: BenchResult) -> Table:
    """A row for each figure and a column for each arm, so that few arms fit any width."""
    columns = (
        Column("figure", "text"),
        *(Column(arm.name) for arm in result.arms),
        Column("meaning", "text", detail=True),
    )
    rows = tuple(
        (name, *(value(arm) for arm in result.arms), better) for name, better, value in _ARMS
    )
    filled = tuple(row for row in rows if any(cell != "-" for cell in row[1:-1]))
    return Table(f"Figures of the arms, {case}", columns, filled)


def _whole(value: float | None) -> str:
    """A rate without an exponent."""
    return "-" if value is None else f"{value:.0f}" if value >= 1000 else number(value)


def _bytes(value: int | None) -> str:
    return quantity(value, "B")


def _gflop(value: float | None) -> str:
    return "-" if value is None else number(value / 1e9)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _parts_table(case: str, result: BenchResult) -> Table:
    columns = (Column("arm", "text"), *(Column(name) for name in _PARTS))
    rows = tuple(
        (arm.name, *(quantity(arm.parts[name], "s") for name in _PARTS))
        for arm in result.arms
        if arm.parts
    )
    return Table(f"Time of a step by part, {case}", columns, rows, _PARTS_CAPTION)
