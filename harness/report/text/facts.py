"""Settings in which two runs differ, as sentences with the lines that set them."""

from __future__ import annotations

from harness.results.comparison import Comparison, Fact

__all__ = ["also_lines", "explaining", "fact_lines", "lines_of", "sentence"]


def explaining(comparison: Comparison) -> list[Fact]:
    """The facts that explain the first divergence."""
    return [fact for fact in comparison.facts if fact.explains_first]


def sentence(fact: Fact, comparison: Comparison) -> str:
    """Both values and both lines: 'dropout 0.2 against 0.1 (mine.py:9 against plain.py:80)'."""
    places = (
        (comparison.candidate, fact.candidate_site),
        (comparison.reference, fact.reference_site),
    )
    known = [(label, place) for label, place in places if place]
    if len(known) == 2:
        return f"{fact.text} ({fact.candidate_site} against {fact.reference_site})"
    if known:
        return f"{fact.text} ({known[0][0]}: {known[0][1]})"
    return fact.text


def lines_of(fact: Fact, comparison: Comparison) -> list[str]:
    """The line of code in each run that set it, as far as they are known."""
    lines = (
        (comparison.candidate, fact.candidate_site, fact.candidate_source),
        (comparison.reference, fact.reference_site, fact.reference_source),
    )
    return [f"{label}, {place}: {source}" for label, place, source in lines if source]


def fact_lines(comparison: Comparison) -> list[str]:
    """What explains the first divergence: each fact, then its lines of code."""
    return [
        line
        for fact in explaining(comparison)
        for line in (f"Differs: {sentence(fact, comparison)}.", *lines_of(fact, comparison))
    ]


def also_lines(comparison: Comparison) -> list[str]:
    """The settings that differ and belong to another stage, or that have no effect."""
    if comparison.first_divergence is None:
        return [
            f"Differs without an effect on these values: {sentence(fact, comparison)}."
            for fact in comparison.facts
        ]
    others = [fact for fact in comparison.facts if not fact.explains_first]
    return [f"Also differs: {sentence(fact, comparison)}." for fact in others]
