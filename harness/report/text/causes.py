"""Why two runs differ: settings, the difference in detail, and its causes."""

from __future__ import annotations

from harness.report.text import facts
from harness.report.text.operations import code_lines
from harness.report.text.programs import program_parts
from harness.results.comparison import Cause, Comparison

__all__ = [
    "because",
    "cause_label",
    "cause_line",
    "detail",
    "evidence",
    "is_explained",
    "possible",
    "reasons",
    "unexplained",
]


def because(comparison: Comparison) -> str:
    """What explains the first divergence: the settings that differ, then the cause in a few words.

    Empty if there is nothing to explain.
    """
    if comparison.first_divergence is None or comparison.test:
        return ""
    parts = [facts.sentence(fact, comparison) for fact in facts.explaining(comparison)]
    first = [cause for cause in comparison.causes if cause.explains_first]
    named = [cause.title for cause in first if not cause.consistent_with]
    parts += [f"cause: {'; '.join(named)}"] if named else []
    parts += [f"consistent with: {possible(cause)}" for cause in first if cause.consistent_with]
    return "; ".join(parts) or _localized(comparison) or "cause unknown"


def _localized(comparison: Comparison) -> str:
    """What the replays found, in a few words: the state that differs, or the lines; else empty."""
    found = comparison.localization
    if found is None:
        return ""
    if found.state and not comparison.unnamed:
        sentences = [part.sentence for part in program_parts(comparison)]
        step = f"Step {found.step}: "
        stated = next((one for one in sentences if one.startswith(step)), "")
        if stated:
            return stated.removeprefix(step).removesuffix(".")
    lines = [(name, line.partition("  ")[0]) for name, line in code_lines(comparison)]
    if not lines:
        return ""
    return "first operation that differs: " + ", ".join(
        f"{place} in {name}" for name, place in lines
    )


def possible(cause: Cause) -> str:
    """The explanations that the records do not distinguish: 'A; B; or C'."""
    *others, last = cause.consistent_with
    return "; ".join([*others, f"or {last}"]) if others else last


def reasons(comparison: Comparison) -> list[str]:
    """Why a pair is `different`, one line each.

    First the settings that explain it, with their lines of code, then the difference in detail,
    each cause, and the settings that also differ.
    """
    if not is_explained(comparison):
        return []
    lines = [*facts.fact_lines(comparison), detail(comparison)]
    lines += [cause_line(cause) for cause in comparison.causes]
    lines += [unexplained(comparison), *facts.also_lines(comparison)]
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
    if not cause.explains_first:
        return "Another difference"
    return "Consistent with several causes" if cause.consistent_with else "Cause"


def cause_line(cause: Cause) -> str:
    """A cause with its evidence and its remedy."""
    where = f", {cause.reference}" if cause.reference else ""
    return (
        f"{cause_label(cause)}: {cause.title} ({cause.id}{where}). Evidence: {evidence(cause)}. "
        f"Remedy: {cause.remedy}."
    )


def evidence(cause: Cause) -> str:
    """What the records show, and which explanations they do not distinguish."""
    if not cause.consistent_with:
        return cause.evidence
    return f"{cause.evidence}; consistent with: {possible(cause)}"


def unexplained(comparison: Comparison) -> str:
    """What to inspect if no known cause explains the first divergence; else empty."""
    first = comparison.first_divergence
    if first is None or not is_explained(comparison):
        return ""
    if facts.explaining(comparison) or any(cause.explains_first for cause in comparison.causes):
        return ""
    if comparison.different_models:
        return f"No cause is named: {comparison.different_models}."
    if comparison.unnamed:
        return (
            f"No cause is named: {comparison.unnamed}. What values show names a cause only between "
            "two versions of one program."
        )
    text = (
        f"Cause unknown: no known cause matches this first difference in {first.stage} at step "
        f"{first.step}."
    )
    if not any(stage.stage == "config" for stage in comparison.stages):
        return f"{text} The settings of both runs were not recorded."
    if comparison.settings:
        names = ", ".join(setting.name for setting in comparison.settings)
        return f"{text} No setting explains it. These settings also differ: {names}."
    return f"{text} No recorded setting differs: inspect what the loop does at this stage."
