"""Why two runs differ: the difference in detail, and its causes."""

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
    """The cause of the first divergence in a few words; empty if there is nothing to explain."""
    if comparison.first_divergence is None or comparison.test:
        return ""
    named = [cause.title for cause in comparison.causes if cause.explains_first]
    if named:
        return f"cause: {'; '.join(named)}"
    return "cause unknown"


def reasons(comparison: Comparison) -> list[str]:
    """Why a pair is `different`, one line each: the difference in detail, then each cause."""
    lines = [detail(comparison)]
    if is_explained(comparison):
        lines += [cause_line(cause) for cause in comparison.causes]
        lines.append(unexplained(comparison))
    return [line for line in lines if line]


def is_explained(comparison: Comparison) -> bool:
    """Whether causes were searched for: the pair differs, and it is not one of several seeds."""
    return bool(
        comparison.first_divergence is not None
        and comparison.outcome == "different"
        and not comparison.test
    )


def detail(comparison: Comparison) -> str:
    """The first difference in detail; empty if it is not known."""
    first = comparison.first_divergence
    if first is None or not is_explained(comparison) or not first.detail:
        return ""
    return f"Detail: {first.detail}."


def cause_label(cause: Cause) -> str:
    """Whether the cause explains the first divergence, or is another difference of the two."""
    return "Cause" if cause.explains_first else "Another difference"


def cause_line(cause: Cause) -> str:
    """A cause with its evidence and its remedy."""
    where = f", {cause.reference}" if cause.reference else ""
    return (
        f"{cause_label(cause)}: {cause.title} ({cause.id}{where}). Evidence: {cause.evidence}. "
        f"Remedy: {cause.remedy}."
    )


def unexplained(comparison: Comparison) -> str:
    """What to inspect if no known cause explains the first divergence; else empty."""
    first = comparison.first_divergence
    if first is None or not is_explained(comparison):
        return ""
    if any(cause.explains_first for cause in comparison.causes):
        return ""
    text = (
        f"Cause unknown: no known cause matches this first difference in {first.stage} at step "
        f"{first.step}."
    )
    if not any(stage.stage == "config" for stage in comparison.stages):
        return f"{text} The settings of both runs were not recorded."
    if comparison.settings:
        names = ", ".join(setting.name for setting in comparison.settings)
        return f"{text} These settings differ and may be the cause: {names}."
    return f"{text} No recorded setting differs: inspect what the loop does at this stage."
