"""A report -> figures for dashboards that follow speeds over many commits.

`bencher` is the Bencher Metric Format: benchmark -> measure -> value, with the bounds of an
interval where there is one. `github_benchmark` is the list of `customSmallerIsBetter` of
github-action-benchmark, so it holds only figures of which less is better. Both hold what was
measured for speed: times of steps and ratios of a benchmark, and peak memory. The times of traced
runs are no benchmark and are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import RecordError
from harness.report.escape import printable
from harness.results.benchmark import CONTROL, ArmFigures, BenchResult
from harness.results.comparison import Comparison
from harness.results.metrics import metric
from harness.results.regression import CheckItem
from harness.results.report import Report

__all__ = ["bencher", "github_benchmark"]

_LONGEST_NAME = 1024
"""Bencher refuses a longer name of a benchmark."""
_NS = 1e9
_STEP_RATIO, _MEMORY = "step_time_ratio", "peak_allocated_bytes"


@dataclass(frozen=True)
class _Figure:
    benchmark: str
    measure: str
    """The slug of Bencher; `latency` (ns) and `throughput` (1/s) exist in every project."""
    title: str
    unit: str
    value: float
    interval: tuple[float, float] | None = None
    less_is_better: bool = True
    remark: str = ""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The interval, unless an end of it is infinite, which JSON cannot hold."""
        ends = self.interval
        return ends if ends is not None and all(map(math.isfinite, ends)) else None


def bencher(report: Report) -> str:
    """The Bencher Metric Format. Raises `RecordError` if nothing was measured for speed."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for figure in _figures(report):
        low, high = figure.bounds or (None, None)
        scale = _NS if figure.measure == "latency" else 1.0
        values = {"value": figure.value, "lower_value": low, "upper_value": high}
        found.setdefault(figure.benchmark, {})[figure.measure] = {
            name: value * scale for name, value in values.items() if value is not None
        }
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def github_benchmark(report: Report) -> str:
    """The list of github-action-benchmark. Raises as `bencher` does."""
    found = []
    for figure in _figures(report):
        if not figure.less_is_better:
            continue
        entry: dict[str, str | float] = {
            "name": f"{figure.benchmark}: {figure.title}",
            "unit": figure.unit,
            "value": figure.value,
        }
        if figure.bounds is not None:
            low, high = figure.bounds
            # The program reads one number after the sign, so the interval itself is in `extra`.
            entry["range"] = f"± {max(high - figure.value, figure.value - low):.6g}"
        if figure.remark:
            entry["extra"] = printable(figure.remark)
        found.append(entry)
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _figures(report: Report) -> list[_Figure]:
    found = [
        figure
        for case, result in report.bench.items()
        for arm in result.arms
        if arm.name != CONTROL
        for figure in _arm(case, arm, result)
    ]
    for pair in report.comparisons:
        found += _ratio(pair)
    for item in report.gate.items if report.gate is not None else ():
        found += _item(item)
    shown = [figure for figure in found if math.isfinite(figure.value)]
    if not shown:
        raise RecordError(
            "a dashboard follows times of steps and peak memory",
            "a report without them",
            "pass the output folder of harness bench, or of harness check with a budget",
        )
    return shown


def _name(case: str, arm: str) -> str:
    return " ".join(printable(f"{case}, {arm}" if arm else case).split())[:_LONGEST_NAME]


def _arm(case: str, arm: ArmFigures, result: BenchResult) -> Iterator[_Figure]:
    name = _name(case, arm.name)
    clock = "own_step_s" if arm.own_step_s is not None else "step_s"
    doubt = result.control_why_not or result.control_caution
    title = metric(clock).title
    yield _Figure(name, "latency", title, "s", getattr(arm, clock), remark=doubt)
    if arm.samples_per_s is not None:
        rate = arm.samples_per_s
        yield _Figure(name, "throughput", "rows", "1/s", rate, less_is_better=False)
    for kind in ("allocated", "resident"):
        peak = getattr(arm, f"peak_{kind}_bytes")
        if peak is not None:
            yield _Figure(name, f"peak-{kind}-memory", f"peak {kind} memory", "B", float(peak))


def _ratio(pair: Comparison) -> Iterator[_Figure]:
    """The ratio by which a pair of a benchmark is judged."""
    for found in pair.findings[:1]:
        if found.confidence is None or found.ratio is None:
            continue
        name = _name(pair.case, f"{pair.candidate} against {pair.reference}")
        remark: str = pair.outcome
        if found.interval is not None:
            low, high = found.interval
            remark += f"; {found.confidence:.0%} interval {low:.4f} to {high:.4f}"
        title = f"ratio, {metric(found.metric).title}"
        yield _Figure(name, "time-ratio", title, "", found.ratio, found.interval, True, remark)


def _item(item: CheckItem) -> Iterator[_Figure]:
    """What a check of a baseline measured."""
    name = _name(item.case, item.loop)
    if item.metric == _STEP_RATIO and item.ratio is not None:
        title, remark = "time per step, ratio to the baseline", item.listed
        yield _Figure(
            name, "time-ratio-to-baseline", title, "", item.ratio, item.interval, True, remark
        )
    if item.metric == _MEMORY and isinstance(item.now, (int, float)):
        yield _Figure(name, "peak-allocated-memory", "peak allocated memory", "B", float(item.now))
