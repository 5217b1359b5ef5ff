"""Why two runs differ, for a reader: what exactly differs, the causes, the settings."""

from __future__ import annotations

from harness.results.comparison import Cause, Comparison

__all__ = [
    "because",
    "cause_label",
    "cause_line",
    "detail",
    "is_explained",
    "reasons",
    "unexplained",
]


def because(comparison: Comparison) -> str:
    """The cause of the first divergence in a few words; empty where there is nothing to explain."""
    if comparison.first_divergence is None or comparison.test:
        return ""
    named = [cause.title for cause in comparison.causes if cause.explains_first]
    if named:
        return f"cause: {'; '.join(named)}"
    return "cause unknown"


def reasons(comparison: Comparison) -> list[str]:
    """Why a pair is `different`, a line each: what exactly differs first, then each cause."""
    lines = [detail(comparison)]
    if is_explained(comparison):
        lines += [cause_line(cause) for cause in comparison.causes]
        lines.append(unexplained(comparison))
    return [line for line in lines if line]


def is_explained(comparison: Comparison) -> bool:
    """Whether the pair is one of which the causes were looked for."""
    return bool(
        comparison.first_divergence is not None
        and comparison.outcome == "different"
        and not comparison.test
    )


def detail(comparison: Comparison) -> str:
    """What exactly differs first; empty where that is not known."""
    first = comparison.first_divergence
    if first is None or not is_explained(comparison) or not first.detail:
        return ""
    return f"Exactly: {first.detail}."


def cause_label(cause: Cause) -> str:
    """Whether it explains the first divergence, in a word."""
    return "Cause" if cause.explains_first else "Also"


def cause_line(cause: Cause) -> str:
    """A cause with its evidence and its remedy."""
    where = f", {cause.reference}" if cause.reference else ""
    return (
        f"{cause_label(cause)}: {cause.title} ({cause.id}{where}): {cause.evidence}. "
        f"Remedy: {cause.remedy}."
    )


def unexplained(comparison: Comparison) -> str:
    """Where no cause in the table explains the first divergence: what to look at; else empty."""
    first = comparison.first_divergence
    if first is None or not is_explained(comparison):
        return ""
    if any(cause.explains_first for cause in comparison.causes):
        return ""
    text = (
        "Cause unknown: no row of the table of causes explains a first difference in "
        f"{first.stage} at step {first.step} with these signs."
    )
    if not any(stage.stage == "config" for stage in comparison.stages):
        return f"{text} Settings were not recorded on both sides."
    if comparison.settings:
        names = ", ".join(setting.name for setting in comparison.settings)
        return f"{text} The settings that differ are a place to look: {names}."
    return f"{text} No setting that was recorded differs, so look at what the loop does there."
