"""What is said of speeds: a sentence a pair, and the rows of the tables."""

from __future__ import annotations

from collections.abc import Sequence

from harness.results.benchmark import ArmFigures, BenchResult
from harness.results.comparison import Comparison
from harness.results.metrics import metric
from harness.units import number, quantity

__all__ = [
    "FIGURES",
    "HEADINGS",
    "NOTES",
    "PARTS",
    "conclusion",
    "figures",
    "how",
    "judged",
    "parts",
    "sentence",
]

HEADINGS = ("pair", "metric", "ratio", "interval", "outcome", "visible from", "same values")
FIGURES = (
    "arm",
    "step",
    "own time",
    "CPU time",
    "samples/s",
    "tokens/s",
    "with padding",
    "first step",
    "start-up",
    "peak memory",
    "GFLOP a step",
    "of the peak",
)
NOTES = {
    "ratio": "above 1 is slower",
    "interval": "of the ratio",
    "visible from": "smallest slowdown",
    "step": "wall, lower is better",
    "own time": "a step, lower is better",
    "CPU time": "a step, lower is better",
    "samples/s": "higher is better",
    "tokens/s": "higher is better",
    "with padding": "tokens/s",
    "first step": "lower is better",
    "start-up": "lower is better",
    "peak memory": "lower is better",
    "GFLOP a step": "matrix products",
    "of the peak": "higher is better",
}
"""Under a heading: its unit, or which way is better."""
PARTS = ("arm", "data", "forward", "backward", "optimizer", "rest")
"""Of a step that was profiled. The rest is the loop's own work and its framework's."""
_WILD = 11.0  # times as long


def sentence(comparison: Comparison) -> str:
    """Who is faster, by how much, how sure, and what could not have been seen."""
    found = comparison.findings[0]
    assert found.ratio is not None
    assert found.interval is not None
    assert found.confidence is not None
    assert found.smallest_visible is not None
    pair = f"{comparison.candidate} against {comparison.reference}"
    low, high = (_change(bound) for bound in found.interval)
    sure = f"{number(100 * found.confidence, 4)}% interval"
    each = "sample" if found.metric.endswith("sample_s") else "step"
    said = f"{pair}: {comparison.outcome}, {_change(found.ratio)} time a {each}"
    said += f" ({sure} {low} to {high})"
    said += f"; a slowdown of less than {_change(found.smallest_visible)} could have gone unseen"
    if found.outcome == "inconclusive" and found.needed_s is not None:
        said += f"; sessions of about {quantity(found.needed_s, 's')} in all would tell"
    elif found.outcome == "inconclusive" and found.needed is None:
        said += "; it lies too near to the margin for any number of sessions"
    return f"{said}; the values of the two are {_values(comparison)}"


def conclusion(comparisons: Sequence[Comparison], result: BenchResult) -> str:
    """The last sentence of a bench."""
    if result.control_why_not:
        return f"No verdict: {result.control_why_not}."
    said = [sentence(comparison) for comparison in comparisons]
    return f"{'. '.join([*said, *filter(None, [result.control_caution])])}."


def how(result: BenchResult) -> list[str]:
    """How it was measured, a line each."""
    low, high = (_change(bound) for bound in result.control_interval)
    lines = [
        f"outcomes rest on {metric(result.statistic).title}: {result.reason}",
        f"equivalent is what lies within {result.margin:.3g} of the reference, faster and slower "
        "what lies wholly outside",
        f"{result.sessions} sessions of up to {result.rounds} rounds, {result.steps_per_turn} "
        "steps a turn of which the first is not counted; in "
        f"{quantity(result.took_s, 's')}, ended by {result.stopped_by}",
        f"the reference beside itself: {_change(result.control_ratio)} (95% interval {low} to "
        f"{high})",
    ]
    if result.control_why_not:
        lines.append(f"so no verdict: {result.control_why_not}")
    if result.control_caution:
        lines.append(result.control_caution)
    if result.peak_flops_per_s is not None:
        lines.append(f"matrix peak measured here: {number(result.peak_flops_per_s / 1e9)} GFLOP/s")
    lines += [
        f"{arm.name}: {arm.flops_per_six_n_tokens:.2f} times the 6 * parameters * tokens of the "
        "rule of thumb, which counts embeddings as products and attention's own not at all"
        for arm in result.arms
        if arm.flops_per_six_n_tokens is not None
    ][:1]
    return lines


def judged(comparisons: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """A row for each pair and metric, under `HEADINGS`."""
    rows: list[tuple[str, ...]] = []
    for comparison in comparisons:
        if comparison.equality is None:
            continue
        for found in comparison.findings:
            assert found.ratio is not None
            assert found.interval is not None
            seen = found.smallest_visible
            rows.append(
                (
                    f"{comparison.candidate} against {comparison.reference}",
                    metric(found.metric).title,
                    number(found.ratio),
                    " to ".join(f"{b:.4f}" if b < _WILD else number(b, 2) for b in found.interval),
                    found.outcome,
                    "-" if seen is None else _change(seen),
                    _values(comparison),
                )
            )
    return rows


def figures(result: BenchResult) -> list[tuple[str, ...]]:
    """A row for each arm, under `FIGURES`."""
    return [
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
    ]


def parts(result: BenchResult) -> list[tuple[str, ...]]:
    """A row for each arm that was profiled, under `PARTS`."""
    return [
        (arm.name, *(quantity(arm.parts[name], "s") for name in PARTS[1:]))
        for arm in result.arms
        if arm.parts
    ]


def _memory(arm: ArmFigures) -> str:
    text = quantity(arm.peak_resident_bytes, "B")
    if arm.peak_reserved_bytes is not None:
        text += f", on the device {quantity(arm.peak_allocated_bytes, 'B')}"
        text += f" of {quantity(arm.peak_reserved_bytes, 'B')} reserved"
    elif arm.peak_allocated_bytes is not None:
        text += f", for tensors {quantity(arm.peak_allocated_bytes, 'B')}"
    return text


def _values(comparison: Comparison) -> str:
    first = comparison.first_divergence
    if comparison.equality != "different" or first is None:
        return str(comparison.equality)
    return f"different from step {first.step}, {first.stage}"


def _change(ratio: float) -> str:
    """A ratio as a change; one that nothing is known of has no use for its digits."""
    return f"{ratio - 1:+.1%}" if ratio < _WILD else f"over {_WILD - 1:+.0%}"
