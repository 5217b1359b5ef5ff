"""Why pairs differ: each setting and each cause once, with the pairs that it explains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.report.document import Block, CauseCard, Section
from harness.report.sections.source import Source
from harness.report.text.answers import implied
from harness.report.text.causes import cause_label, evidence, is_explained
from harness.report.text.facts import explaining, lines_of, sentence
from harness.results.comparison import Comparison

__all__ = ["section"]

_MOST = 6
"""Pairs whose evidence a card holds."""


def section(source: Source) -> Section | None:
    """A card for each cause; none if no pair is explained.

    A pair whose result follows from two others adds nothing.
    """
    pairs = source.report.comparisons
    shown = [pair for place, pair in enumerate(pairs) if place not in implied(pairs)]
    cards: dict[tuple[object, ...], CauseCard] = {}
    many_cases = len({pair.case for pair in pairs}) > 1
    for pair in shown:
        name = f"{pair.candidate} against {pair.reference}"
        name = f"{pair.case}: {name}" if many_cases else name
        for key, card in _cards(pair, name) if is_explained(pair) else ():
            before = cards.get(key)
            if before is not None:
                card = replace(before, evidence=before.evidence + card.evidence)
            cards[key] = card
    if not cards:
        return None
    ordered = sorted(cards.values(), key=lambda card: not card.explains_first)
    blocks: tuple[Block, ...] = tuple(map(_cut, ordered))
    return Section("causes", "Causes and remedies", blocks)


def _cut(card: CauseCard) -> CauseCard:
    """The card with the evidence of few pairs; of more the rest is counted."""
    left_out = len(card.evidence) - _MOST
    if left_out <= 0:
        return card
    more = f"{left_out} more pair{'s' if left_out > 1 else ''}"
    return replace(card, evidence=(*card.evidence[:_MOST], (more, "")))


def _cards(pair: Comparison, name: str) -> Iterator[tuple[tuple[object, ...], CauseCard]]:
    """The settings and the causes of a pair, each with a key that is the same for one cause."""
    for fact in explaining(pair):
        text, lines = sentence(fact, pair), tuple(lines_of(fact, pair))
        card = CauseCard("Differs", text, "", "", ((name, ""),), "", True, lines)
        yield ("fact", text, lines), card
    for cause in pair.causes:
        card = CauseCard(
            label=cause_label(cause),
            title=cause.title,
            id=cause.id,
            reference=cause.reference,
            evidence=((name, evidence(cause)),),
            remedy=cause.remedy,
            explains_first=cause.explains_first,
        )
        yield (cause.id, cause.title, card.label, cause.remedy), card
