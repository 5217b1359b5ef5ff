"""What is said of speeds: a sentence a pair, and the rows of the tables."""

from __future__ import annotations

from collections.abc import Sequence

from harness.results.benchmark import BenchResult
from harness.results.comparison import Comparison, Finding
from harness.results.metrics import metric
from harness.units import number, quantity

__all__ = ["TOO_LARGE", "change", "conclusion", "equality", "how", "sentence"]

TOO_LARGE = 11.0
"""A ratio from which only a bound is shown."""
_LONGEST_ADVICE_S = 3600.0  # above it, other remedies are named


def sentence(comparison: Comparison) -> str:
    """Who is faster, by how much, how sure, and what could not have been seen."""
    found = comparison.findings[0]
    assert found.ratio is not None
    assert found.interval is not None
    assert found.confidence is not None
    assert found.smallest_visible is not None
    pair = f"{comparison.candidate} against {comparison.reference}"
    low, high = (change(bound) for bound in found.interval)
    sure = f"{number(100 * found.confidence, 4)}% interval"
    each = "sample" if found.metric.endswith("sample_s") else "step"
    said = f"{pair}: {comparison.outcome}, {change(found.ratio)} time a {each}"
    said += f" ({sure} {low} to {high})"
    said += f"; a slowdown of less than {change(found.smallest_visible)} could have gone unseen"
    if found.outcome == "inconclusive":
        said += _remedy(found)
    return f"{said}; the values of the two are {equality(comparison)}"


def _remedy(found: Finding) -> str:
    """What would give a conclusion; empty if that is unknown."""
    if found.needed is None:
        return "; the ratio is too close to the margin for any number of sessions"
    if found.needed_s is None:
        return ""
    if found.needed_s > _LONGEST_ADVICE_S:
        return (
            "; more than an hour of sessions would be needed: use an idle machine, longer steps or "
            "more rounds"
        )
    return f"; about {quantity(found.needed_s, 's')} of sessions would be needed"


def conclusion(comparisons: Sequence[Comparison], result: BenchResult) -> str:
    """The last sentence of a bench."""
    if result.control_why_not:
        return f"No verdict: {result.control_why_not}."
    said = [sentence(comparison) for comparison in comparisons]
    return f"{'. '.join([*said, *filter(None, [result.control_caution])])}."


def how(result: BenchResult) -> list[str]:
    """How it was measured, a line each."""
    low, high = (change(bound) for bound in result.control_interval)
    lines = [
        f"outcomes rest on {metric(result.statistic).title}: {result.reason}",
        f"equivalent is what lies within {result.margin:.3g} of the reference, faster and slower "
        "what lies wholly outside",
        f"{result.sessions} sessions of up to {result.rounds} rounds, {result.steps_per_turn} "
        "steps a turn of which the first is not counted; in "
        f"{quantity(result.took_s, 's')}, ended by {result.stopped_by}",
        f"the reference beside itself: {change(result.control_ratio)} (95% interval {low} to "
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


def equality(comparison: Comparison) -> str:
    """Whether the two compute the same, and from where not."""
    first = comparison.first_divergence
    if comparison.equality != "different" or first is None:
        return str(comparison.equality)
    return f"different from step {first.step}, {first.stage}"


def change(ratio: float) -> str:
    """A ratio as a change; one that nothing is known of has no use for its digits."""
    return f"{ratio - 1:+.1%}" if ratio < TOO_LARGE else f"over {TOO_LARGE - 1:+.0%}"
