"""The verdict in a few words, and whether an outcome is good news."""

from __future__ import annotations

from typing import Literal

from harness.results.report import Report

__all__ = ["HEADLINES", "Tone", "headline", "tone"]

Tone = Literal["good", "bad", "unsure"]

HEADLINES = {
    "equivalent": "The loops are the same",
    "different": "The loops differ",
    "regression": "Something got worse",
    "no_verdict": "No verdict",
    "failed": "A run failed",
}
"""The headline of each verdict."""
_LESS_THAN_IDENTICAL = {
    "within_noise": "The loops are the same except for rounding",
    "equivalent": "The loops reach equivalent final metrics",
}
_SPEEDS = {
    "equivalent": "The loops are equally fast",
    "different": "The loops are not equally fast, or do not compute the same",
}
_TONES: dict[str, Literal["good", "bad"]] = {
    **dict.fromkeys(("identical", "within_noise", "equivalent", "faster", "completed"), "good"),
    **dict.fromkeys(("stopped", "unchanged", "improved"), "good"),
    **dict.fromkeys(("different", "slower", "failed", "regressed", "regression"), "bad"),
}


def tone(word: str) -> Tone:
    """Whether an outcome, a status, a list or a verdict is good news; unknown is unsure."""
    return _TONES.get(word, "unsure")


def headline(report: Report) -> str:
    """The verdict in a few words; an agreement is as strong as that of its weakest pair."""
    if report.upgrade or report.bisect:
        return _of_versions(report)
    if report.gate is not None and report.verdict == "equivalent":
        return "Nothing got worse"
    if report.bench:
        return _SPEEDS.get(report.verdict, HEADLINES[report.verdict])
    if report.verdict == "equivalent":
        outcomes = {comparison.outcome for comparison in report.comparisons}
        for outcome in ("equivalent", "within_noise"):
            if outcome in outcomes:
                return _LESS_THAN_IDENTICAL[outcome]
    return HEADLINES[report.verdict]


def _of_versions(report: Report) -> str:
    if report.verdict == "equivalent":
        if any(comparison.test for comparison in report.comparisons):
            return "These versions reach equivalent final metrics"
        return "These versions train the same"
    if report.verdict != "different":
        return HEADLINES[report.verdict]
    if any(comparison.outcome == "different" for comparison in report.comparisons):
        return "These versions do not train the same"
    return "These versions compute the same, but not equally fast"
