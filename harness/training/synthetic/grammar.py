"""Draws pairs of sentences that describe one event, with equal facts or with changed facts.

`sentence_pairs.py` makes data sets of the pairs; `pretrain.py` also uses the facts behind the
words. This module writes no rows and uses no tokenizer.

A paraphrase (label 1) describes the same event in other words: synonyms, another order of clauses,
passive for active, a detail left out. A non-paraphrase (label 0) is also reworded, and one or two
facts are changed. Paraphrases are reworded more, so both kinds share about as many words, and the
number of shared words does not reveal the label.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Final

from harness.training.synthetic.lexicon import (
    ASIDES,
    CONCEPTS,
    CORE_WORDINGS,
    MANNERS,
    NUMBER_SLOTS,
    OPENINGS,
    TRAILERS,
)

__all__ = ["Pair", "Sentence", "Word", "draw_pair"]

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}(,?)")
_CORE_SLOTS: Final = ("actor", "verb", "object")

_DETAIL_SLOTS: Final = ("day", "place", "source", "reason", "amount", "jobs", "month")

# The numbers of details of an event; a repeated number is drawn more often. Sentences then have
# about twenty words and about the spread of lengths in MRPC.
_DETAIL_COUNTS: Final = (1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4)
_OPENING_SHARE: Final = 0.5
_MANNER_SHARE: Final = 0.3
_ASIDE_SHARE: Final = 0.18
_OMISSION_SHARE: Final = 0.3
_SECOND_CHANGE_SHARE: Final = 0.4

# The probability by label that a wording or a name of the first sentence is drawn anew in the
# second. They differ because a changed fact already costs a non-paraphrase one or two shared words.
_REWORDING_SHARES: Final = {0: 0.5, 1: 0.65}


@dataclass(frozen=True, slots=True)
class Word:
    """A word without its comma, and the slot of the fact that it states (None: no fact)."""

    text: str
    slot: str | None
    comma: bool = False


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words of one sentence in order, without the full stop."""

    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The sentence as printed: capital letter first, full stop last."""
        printed = " ".join(word.text + "," * word.comma for word in self.words)
        return f"{printed[0].upper()}{printed[1:]}."


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences; `changed` names the slots whose facts differ, and is empty if `label` is 1."""

    first: Sentence
    second: Sentence
    label: int
    changed: frozenset[str]


@dataclass(slots=True)
class _Phrasing:
    """All choices that determine the words for an event."""

    facts: dict[str, int]
    names: dict[str, int]
    wordings: dict[str, int]
    opening: str | None
    order: list[str]
    manner: str
    aside: str


def draw_pair(random: Random, label: int, *, max_details: int = max(_DETAIL_COUNTS)) -> Pair:
    """Draw one pair with `label` 0 or 1; all random numbers come from `random`.

    The default `max_details` gives the sentences of the data set; a smaller one gives shorter
    sentences, with which pretraining begins.
    """
    details = min(random.choice(_DETAIL_COUNTS), max_details)
    slots = (*_CORE_SLOTS, *random.sample(_DETAIL_SLOTS, details))
    facts = {slot: _draw_fact(random, slot) for slot in slots}
    first = _draw_phrasing(random, facts)
    second = _rephrase(random, first, _REWORDING_SHARES[label])
    changed: list[str] = []
    if label == 0:
        changes = 1 + (random.random() < _SECOND_CHANGE_SHARE)
        changed = random.sample(list(second.facts), changes)
        for slot in changed:
            second.facts[slot] = _draw_other_fact(random, slot, facts[slot])
    phrasings = [first, second]
    random.shuffle(phrasings)
    return Pair(_render(phrasings[0]), _render(phrasings[1]), label, frozenset(changed))


def _draw_fact(random: Random, slot: str) -> int:
    if slot in NUMBER_SLOTS:
        return random.randrange(11, 100)
    return random.randrange(len(CONCEPTS[slot]))


def _draw_other_fact(random: Random, slot: str, fact: int) -> int:
    while (other := _draw_fact(random, slot)) == fact:
        pass
    return other


def _draw_phrasing(random: Random, facts: dict[str, int]) -> _Phrasing:
    openings = [slot for slot in facts if slot in OPENINGS]
    opening = None
    if openings and random.random() < _OPENING_SHARE:
        opening = random.choice(openings)
    order = [slot for slot in facts if slot in TRAILERS and slot not in (opening, "source")]
    random.shuffle(order)
    # Short details follow the core; details that begin with a comma come after them.
    order.sort(key=lambda slot: TRAILERS[slot][0].startswith(","))
    if "source" in facts and opening != "source":
        order.append("source")
    return _Phrasing(
        facts=dict(facts),
        names={slot: random.randrange(2) for slot in facts},
        wordings={slot: random.randrange(2) for slot in ("core", *facts)},
        opening=opening,
        order=order,
        manner=random.choice(MANNERS) if random.random() < _MANNER_SHARE else "",
        aside=random.choice(ASIDES) if random.random() < _ASIDE_SHARE else "",
    )


def _rephrase(random: Random, original: _Phrasing, rewording: float) -> _Phrasing:
    """Phrase the facts of `original` again; each choice is redrawn with probability `rewording`."""
    facts = dict(original.facts)
    details = [slot for slot in facts if slot not in _CORE_SLOTS]
    if details and random.random() < _OMISSION_SHARE:
        del facts[random.choice(details)]
    fresh = _draw_phrasing(random, facts)
    for slot in facts:
        if random.random() >= rewording:
            fresh.names[slot] = original.names[slot]
    for slot in fresh.wordings:
        if random.random() >= rewording:
            fresh.wordings[slot] = original.wordings[slot]
    if random.random() >= rewording:
        fresh.manner, fresh.aside = original.manner, original.aside
    return fresh


def _render(phrasing: _Phrasing) -> Sentence:
    wordings = phrasing.wordings
    templates = [CORE_WORDINGS[wordings["core"]]]
    if phrasing.opening is not None:
        choices = OPENINGS[phrasing.opening]
        templates.insert(0, choices[wordings[phrasing.opening] % len(choices)])
    trailers = [
        TRAILERS[slot][wordings[slot] % len(TRAILERS[slot])]
        for slot in phrasing.order
        if slot in phrasing.facts
    ]
    short = [trailer for trailer in trailers if not trailer.startswith(",")]
    long = [trailer for trailer in trailers if trailer.startswith(",")]
    templates += [*short, *filter(None, [phrasing.aside]), *long]
    return Sentence(tuple(_fill(" ".join(templates).split(), phrasing)))


def _fill(template: Iterable[str], phrasing: _Phrasing) -> list[Word]:
    words: list[Word] = []
    for item in template:
        if item == ",":
            last = words.pop()
            words.append(Word(last.text, last.slot, comma=True))
            continue
        placeholder = _PLACEHOLDER.fullmatch(item)
        if placeholder is None:
            words.append(Word(item.rstrip(","), None, comma=item.endswith(",")))
            continue
        slot, comma = placeholder[1], bool(placeholder[2])
        if slot == "manner":
            words += [Word(phrasing.manner, None)] if phrasing.manner else []
            continue
        fact = phrasing.facts[slot]
        if slot in NUMBER_SLOTS:
            words.append(Word(str(fact), slot, comma))
            continue
        names = CONCEPTS[slot][fact]
        words.append(Word(names[phrasing.names[slot] % len(names)], slot, comma))
    return words
