"""Figures for dashboards, checked by the published schemas of both formats."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.errors import RecordError
from harness.report.formats.dashboards import bencher, github_benchmark
from harness.report.write import write
from harness.results.report import Report
from tests.support.judged_reports import bench_report, gated_report, item, speed
from tests.support.run_folders import HOSTILE
from tests.support.small_report import small_report

BENCHER = {
    "type": "object",
    "patternProperties": {
        ".+": {
            "type": "object",
            "patternProperties": {
                ".+": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "number"},
                        "lower_value": {"type": "number"},
                        "upper_value": {"type": "number"},
                    },
                    "required": ["value"],
                }
            },
        }
    },
}
"""As in https://bencher.dev/docs/reference/bencher-metric-format"""
GITHUB_BENCHMARK = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "unit": {"type": "string"},
            "value": {"type": "number"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}
"""As `BenchmarkResult` of github-action-benchmark 1.22 reads it; an empty list is refused there."""


def both(report: Report) -> tuple[Any, Any]:
    """What the two programs read, after their schemas were checked."""
    found = json.loads(bencher(report)), json.loads(github_benchmark(report))
    for value, schema in zip(found, (BENCHER, GITHUB_BENCHMARK), strict=True):
        jsonschema.validate(value, schema)
    return found


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (BENCHER, {"a": {"latency": {"lower_value": 1}}}),
        (BENCHER, {"a": {"latency": {"value": "1"}}}),
        (GITHUB_BENCHMARK, []),
        (GITHUB_BENCHMARK, [{"name": "a", "value": 1}]),
    ],
)
def test_the_schemas_refuse_what_is_wrong(schema: dict[str, Any], value: Any) -> None:
    """Control."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema)


def test_a_bench_gives_times_rates_memory_and_ratios() -> None:
    """A time is in nanoseconds for Bencher; the control is no benchmark of anybody."""
    found, entries = both(bench_report())
    arms = {"tiny, plain", "tiny, accelerated", "tiny, trainer"}
    pairs = {"tiny, trainer against plain", "tiny, accelerated against plain"}
    assert arms | pairs == found.keys()
    assert {
        "latency": {"value": 1e8},
        "throughput": {"value": 80.0},
        "peak-resident-memory": {"value": 900 * 2**20},
    } == found["tiny, trainer"]
    ratio = {"value": 1.05, "lower_value": 1.03, "upper_value": 1.07}
    assert {"time-ratio": ratio} == found["tiny, trainer against plain"]
    named = {entry["name"]: entry for entry in entries}
    assert len(entries) == len(named)
    assert (0.1, "s") == tuple(
        named["tiny, plain: own time of a step"][name] for name in ("value", "unit")
    )
    assert {
        "name": "tiny, trainer against plain: ratio, own time of a step",
        "unit": "",
        "value": 1.05,
        "range": "± 0.02",
        "extra": "slower; 95% interval 1.0300 to 1.0700",
    } == named["tiny, trainer against plain: ratio, own time of a step"]
    assert not any("rows" in name for name in named)


def test_a_measurement_without_a_verdict_says_so() -> None:
    """A dashboard draws the number; the remark says what it is worth."""
    result = bench_report().bench["tiny"].model_copy(update={"control_why_not": "too few"})
    _, entries = both(bench_report(bench={"tiny": result}))
    assert "too few" == entries[0]["extra"]


def test_a_check_gives_ratios_and_memory() -> None:
    """Not the time beside a yardstick of another hour, nor exact facts."""
    report = gated_report()
    assert report.gate is not None
    items = (
        *report.gate.items,
        item("unchanged", metric="peak_allocated_bytes", tier="memory", before=5, now=6),
        item("unchanged", loop="plain", metric="step_time", tier="speed", ratio=1.2),
    )
    found, entries = both(
        report.model_copy(update={"gate": report.gate.model_copy(update={"items": items})})
    )
    assert {
        "time-ratio-to-baseline": {"value": 0.909, "lower_value": 0.88, "upper_value": 0.94},
        "peak-allocated-memory": {"value": 6.0},
    } == found["tiny, trainer"]
    assert ["tiny, trainer"] == list(found)
    assert [0.909, 6.0] == [entry["value"] for entry in entries]


def test_an_infinite_bound_is_left_out_and_a_ratio_that_is_none_too() -> None:
    """JSON has no such numbers, and both programs refuse the whole file then."""
    pairs = (
        speed("one", "inconclusive", 1.1, (0.0, math.inf)),
        speed("two", "inconclusive", math.nan, (0.9, 1.1)),
    )
    found, _ = both(bench_report(comparisons=pairs))
    assert {"time-ratio": {"value": 1.1}} == found["tiny, one against plain"]
    assert "tiny, two against plain" not in found


def test_a_report_without_speeds_is_refused(tmp_path: Path) -> None:
    """An empty file would be read as no benchmark, or as a fault of the program that reads it."""
    for name in ("bencher", "github-benchmark"):
        with pytest.raises(RecordError, match="follows times of steps and peak memory"):
            write(small_report(), tmp_path, [name])
    assert [] == list(tmp_path.iterdir())


def test_what_others_wrote_is_text(tmp_path: Path) -> None:
    """One line without control characters, and no longer than Bencher takes."""
    pair = speed(HOSTILE * 50, "slower", 1.1, (1.0, 1.2))
    report = bench_report(comparisons=(pair,))
    assert (tmp_path / "bencher.json", tmp_path / "github-benchmark.json") == tuple(
        write(report, tmp_path, ["bencher", "github-benchmark"])
    )
    for name in both(report)[0]:
        assert len(name) <= 1024
        assert name.isprintable()
