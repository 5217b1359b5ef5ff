"""Why two runs differ, for a reader: what exactly differs, the causes, the settings."""

from __future__ import annotations

from typing import Any

from harness.results.comparison import Comparison
from harness.results.divergence import Divergence
from harness.units import number

__all__ = ["because", "reasons", "setting_text", "settings_rows"]


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
    first = comparison.first_divergence
    if first is None or comparison.outcome != "different" or comparison.test:
        return []
    lines = [f"Exactly: {first.detail}."] if first.detail else []
    for cause in comparison.causes:
        word = "Cause" if cause.explains_first else "Also"
        where = f", {cause.reference}" if cause.reference else ""
        lines.append(
            f"{word}: {cause.title} ({cause.id}{where}): {cause.evidence}. Remedy: {cause.remedy}."
        )
    if not any(cause.explains_first for cause in comparison.causes):
        lines.append(_unexplained(comparison, first))
    return lines


def _unexplained(comparison: Comparison, first: Divergence) -> str:
    """What is said where no cause in the table explains the first divergence."""
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


def settings_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Name, reference, candidate of each setting that differs."""
    return [
        (setting.name, setting_text(setting.reference), setting_text(setting.candidate))
        for setting in comparison.settings
    ]


def setting_text(value: Any) -> str:
    """A setting in a few words: of lists of parameters only how many there are, and the first."""
    if value is None:
        return "not set"
    if isinstance(value, dict) and "at" in value and "steps" in value:
        rates = list(value["at"].values())
        return f"{value['steps']} steps, {number(rates[0])} to {number(rates[-1])}"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_counted(part)}" for key, part in value.items())
    return _counted(value)


def _counted(value: Any) -> str:
    if isinstance(value, list) and len(value) > 2 and all(isinstance(v, str) for v in value):
        return f"{len(value)}, first {value[0]}"
    if isinstance(value, list):
        return ", ".join(map(_counted, value)) or "none"
    return number(value) if isinstance(value, float) else str(value)
