"""A comparison over several seeds, in sentences."""

from __future__ import annotations

from harness.results.comparison import Comparison, Finding, SeedOutcome
from harness.results.metrics import metric
from harness.results.report import RunSummary
from harness.units import number

__all__ = ["interval_text", "run_name", "seed_lines", "seed_range", "sentence"]


def seed_lines(comparison: Comparison) -> list[str]:
    """The outcome of each seed; seeds with the same outcome share a line."""
    lines: dict[str, list[int]] = {}
    for found in comparison.seeds:
        lines.setdefault(_outcome(found), []).append(found.seed)
    return [
        f"seed{'s' if len(seeds) > 1 else ''} {seed_range(seeds)}: {text}"
        for text, seeds in lines.items()
    ]


def _outcome(found: SeedOutcome) -> str:
    text: str = found.outcome
    if found.outcome == "identical":
        text += ", bit for bit"
    if found.first_divergence is not None:
        first = found.first_divergence
        text += f", values differ from step {first.step}, {first.stage}"
    if found.left_out:
        text += f"; excluded from the metrics: {found.left_out}"
    return text


def sentence(comparison: Comparison) -> str:
    """One line for a comparison over several seeds."""
    pair = f"{comparison.candidate} against {comparison.reference}"
    if comparison.outcome == "identical":
        restriction = f", {comparison.restriction}" if comparison.restriction else ""
        return (
            f"{pair}: identical, bit for bit, at all {comparison.steps} steps "
            f"with each of {len(comparison.seeds)} seeds{restriction}"
        )
    if comparison.outcome not in ("equivalent", "different"):
        why = comparison.doubts[0] if comparison.doubts else "no reason recorded"
        return f"{pair}: {comparison.outcome}; {why}"
    shown = [found for found in comparison.findings if found.outcome == comparison.outcome]
    return (
        f"{pair}: {comparison.outcome} in final metrics, {'; '.join(map(_difference, shown))} "
        f"({comparison.test})"
    )


def _difference(found: Finding) -> str:
    title = metric(found.metric).title
    if found.interval is None or found.margin is None:
        return title
    place = "within" if found.outcome == "equivalent" else "outside"
    return f"{title} {interval_text(found.interval)} {place} ±{number(found.margin)}"


def run_name(run: RunSummary) -> str:
    """The loop, and the seed if the run is one of several."""
    return run.loop if run.seed is None else f"{run.loop}, seed {run.seed}"


def interval_text(interval: tuple[float, float]) -> str:
    """'[low, high]' with three digits."""
    return f"[{number(interval[0], 3)}, {number(interval[1], 3)}]"


def seed_range(seeds: list[int]) -> str:
    """'42 to 46' for consecutive seeds, else all of them."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
