"""The speed of a benchmark's pairs: ratios, figures of each arm, and the method."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.document import (
    Block,
    Bullets,
    Column,
    Figure,
    Figures,
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
_ARMS = (
    Column("arm", "text"),
    Column("step", note="wall, lower is better"),
    Column("own time", note="per step, lower is better"),
    Column("CPU time", note="per step, lower is better"),
    Column("samples/s", note="higher is better"),
    Column("tokens/s", note="higher is better"),
    Column("tokens/s, padded", note="padding included"),
    Column("first step", note="lower is better"),
    Column("start-up", note="lower is better"),
    Column("peak memory", note="lower is better"),
    Column("GFLOP per step", note="matrix products"),
    Column("share of peak", note="higher is better"),
)
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
    fast: list[Block] = []
    if result.control_why_not:
        fast.append(Sentence(result.conclusion, "warning"))
    if plots:
        fast.append(Figures((Figure(plots.ratios, _RATIOS_CAPTION),)))
    fast.append(_pairs_table(case, pairs))
    fast.append(_arms_table(case, result))
    if any(arm.parts for arm in result.arms):
        fast.append(_parts_table(case, result))
    blocks: list[Block] = [Subsection(f"{case}: speed", tuple(fast))]
    drawn = [plot for plot in (plots.rounds, plots.memory) if plot] if plots else []
    if drawn:
        figures = Figures(tuple(Figure(plot, capitalized(plot.title)) for plot in drawn))
        blocks.append(Subsection(f"{case}: step time over the rounds, and memory", (figures,)))
    known: list[Block] = [Bullets(tuple(how(result)))]
    if plots and plots.sessions:
        arms = [arm.name for arm in result.arms]
        known.append(sessions_table(case, plots.sessions, arms, result.statistic))
    elif plots:
        known.append(Sentence(f"{capitalized(plots.note)}."))
    blocks.append(Subsection(f"{case}: method and certainty", tuple(known)))
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
    rows = tuple(
        (
            arm.name,
            quantity(arm.step_s, "s"),
            quantity(arm.own_step_s, "s"),
            quantity(arm.cpu_step_s, "s"),
            quantity(arm.samples_per_s, ""),
            quantity(arm.tokens_per_s, ""),
            quantity(arm.padded_tokens_per_s, ""),
            quantity(arm.first_step_s, "s"),
            quantity(arm.startup_s, "s"),
            _memory(arm),
            "-" if arm.flops_per_step is None else number(arm.flops_per_step / 1e9),
            "-" if arm.share_of_peak is None else f"{arm.share_of_peak:.1%}",
        )
        for arm in result.arms
    )
    return Table(f"Figures of the arms, {case}", _ARMS, rows)


def _memory(arm: ArmFigures) -> str:
    text = quantity(arm.peak_resident_bytes, "B")
    if arm.peak_reserved_bytes is not None:
        text += f", on the device {quantity(arm.peak_allocated_bytes, 'B')}"
        text += f" of {quantity(arm.peak_reserved_bytes, 'B')} reserved"
    elif arm.peak_allocated_bytes is not None:
        text += f", for tensors {quantity(arm.peak_allocated_bytes, 'B')}"
    return text


def _parts_table(case: str, result: BenchResult) -> Table:
    columns = (Column("arm", "text"), *(Column(name) for name in _PARTS))
    rows = tuple(
        (arm.name, *(quantity(arm.parts[name], "s") for name in _PARTS))
        for arm in result.arms
        if arm.parts
    )
    return Table(f"Time of a step by part, {case}", columns, rows, _PARTS_CAPTION)
