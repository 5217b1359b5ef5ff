"""The speeds of a benchmark, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from harness.results.benchmark import BenchResult
from harness.results.comparison import Comparison, Finding
from harness.results.metrics import metric
from harness.units import number, quantity

__all__ = [
    "TOO_LARGE",
    "certainty",
    "change",
    "conclusion",
    "equality",
    "how",
    "line",
    "sentence",
    "values_agree",
]

TOO_LARGE = 11.0
"""A ratio from which only a bound is shown."""
_LONGEST_ADVICE_S = 3600.0  # above it, other remedies are named


def sentence(comparison: Comparison) -> str:
    """Which loop is faster, by how much, with what certainty, and what would be detected."""
    return f"{line(comparison)}; {certainty(comparison)}"


def line(comparison: Comparison) -> str:
    """Which loop is faster, and by how much, in a line."""
    found = comparison.findings[0]
    assert found.ratio is not None
    assert found.interval is not None
    pair = f"{comparison.candidate} against {comparison.reference}"
    low, high = (change(bound) for bound in found.interval)
    unit = "sample" if found.metric.endswith("sample_s") else "step"
    word = ""
    if comparison.outcome == "inconclusive" and change(found.ratio) not in ("+0.0%", "-0.0%"):
        word = f" ({'slower' if found.ratio > 1 else 'faster'}, if that is more than noise)"
    return (
        f"{pair}: {comparison.outcome}, {change(found.ratio)} time per {unit}{word} [{low}, {high}]"
    )


def certainty(comparison: Comparison) -> str:
    """How certain that is, what would be detected, and whether the two compute the same."""
    found = comparison.findings[0]
    assert found.confidence is not None
    assert found.smallest_visible is not None
    parts = [
        f"{number(100 * found.confidence, 4)}% interval",
        f"smallest detectable difference {change(found.smallest_visible)} (slower) or "
        f"{change(1 / found.smallest_visible)} (faster)",
    ]
    if found.outcome == "inconclusive":
        parts.append(_remedy(found))
    return "; ".join([*filter(None, parts), f"values: {equality(comparison)}"])


def _remedy(found: Finding) -> str:
    """What would give a conclusion; empty if that is unknown."""
    if _is_clear(found):
        return ""
    if found.needed is None:
        return "the ratio is too close to the margin for any number of sessions"
    if found.needed_s is None:
        return ""
    if found.needed_s > _LONGEST_ADVICE_S:
        return (
            "more than an hour of sessions would be needed: use an idle machine, longer steps or "
            "more rounds"
        )
    return f"about {quantity(found.needed_s, 's')} of sessions would be needed"


def _is_clear(found: Finding) -> bool:
    """Whether the interval alone would decide: then it is the control that leaves no verdict."""
    if found.interval is None or found.margin is None:
        return False
    low, high = found.interval
    least, most = 1 / (1 + found.margin), 1 + found.margin
    return high < least or low > most or (least < low and high < most)


def conclusion(comparisons: Sequence[Comparison], result: BenchResult) -> str:
    """The conclusion of a benchmark, in one line."""
    if result.control_why_not:
        return f"No verdict: {result.control_why_not}."
    sentences = [sentence(comparison) for comparison in comparisons]
    return f"{'. '.join([*sentences, *filter(None, [result.control_caution])])}."


def how(result: BenchResult) -> list[str]:
    """How the speeds were measured, one line each."""
    low, high = (change(bound) for bound in result.control_interval)
    lines = [
        f"outcomes are based on {metric(result.statistic).title}: {result.reason}",
        f"equivalent: the interval lies within {result.margin:.3g} of the reference; faster and "
        "slower: it lies wholly outside",
        f"{result.sessions} sessions of up to {result.rounds} rounds with "
        f"{result.steps_per_turn} steps per turn, of which the first is not counted; "
        f"{quantity(result.took_s, 's')} in total, ended by {result.stopped_by}",
        f"control, the reference compared with itself: {change(result.control_ratio)} "
        f"(95% interval {low} to {high})",
    ]
    if result.control_why_not:
        lines.append(f"therefore no verdict: {result.control_why_not}")
    if result.control_caution:
        lines.append(result.control_caution)
    if result.peak_flops_per_s is not None:
        peak = number(result.peak_flops_per_s / 1e9)
        lines.append(f"peak of a matrix product, measured on this machine: {peak} GFLOP/s")
    lines += [
        f"{arm.name}: {arm.flops_per_six_n_tokens:.2f} times the rule of thumb 6 * parameters * "
        "tokens, which counts embeddings as products and omits those of attention"
        for arm in result.arms
        if arm.flops_per_six_n_tokens is not None
    ][:1]
    return lines


def equality(comparison: Comparison) -> str:
    """Whether the two compute the same values, and else from which step they differ."""
    return values_agree(comparison.model_copy(update={"outcome": comparison.equality}))


def values_agree(values: Comparison) -> str:
    """The outcome of a comparison of values, and from which step on they differ."""
    first = values.first_divergence
    if values.outcome != "different" or first is None:
        return str(values.outcome)
    return f"different from step {first.step}, {first.stage}"


def change(ratio: float) -> str:
    """A ratio as a relative change; of a very large one only a bound."""
    return f"{ratio - 1:+.1%}" if ratio < TOO_LARGE else f"over {TOO_LARGE - 1:+.0%}"
