"""Sentences of the grammar as words, each tagged with the kind of fact that it states.

For token classification. Most words determine their tag. A number may be an amount or a count of
jobs, which depends on its neighbours.
"""

from random import Random
from typing import Final, NamedTuple, TypeAlias

from harness.training.synthetic.grammar import Sentence, draw_pair
from harness.training.synthetic.lexicon import CONCEPTS, NUMBER_SLOTS

__all__ = ["TAGS", "TaggedRow", "TaggedSplits", "tagged_sentences", "tagged_splits"]

TaggedRow: TypeAlias = dict[str, list[str] | list[int]]

TAGS: Final = ("none", *CONCEPTS, *NUMBER_SLOTS)
"""Names of the tags, in the order of their numbers; `none` is for words that state no fact."""

# Seeds are arbitrary; no other data set of this package uses them.
_TRAIN_ROWS: Final = 600
_TRAIN_SEED: Final = 20_260_201
_VALIDATION_ROWS: Final = 120
_VALIDATION_SEED: Final = 20_260_202


class TaggedSplits(NamedTuple):
    """Rows with the columns `words` and `tags`, which are equally long."""

    train: list[TaggedRow]
    validation: list[TaggedRow]


def tagged_sentences(count: int, seed: int) -> list[TaggedRow]:
    """Return `count` rows of `words` and `tags`; commas and full stops are words of their own.

    The same arguments give the same rows on every machine. Raises ValueError if `count` is
    negative.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, but is {count}; ask for 0 rows or more")
    random = Random(seed)
    return [_row(draw_pair(random, 1).first) for _ in range(count)]


def tagged_splits() -> TaggedSplits:
    """Return 600 rows for training and 120 for validation, drawn from different seeds."""
    return TaggedSplits(
        tagged_sentences(_TRAIN_ROWS, _TRAIN_SEED),
        tagged_sentences(_VALIDATION_ROWS, _VALIDATION_SEED),
    )


def _row(sentence: Sentence) -> TaggedRow:
    words: list[str] = []
    tags: list[int] = []
    for word in sentence.words:
        words.append(word.text)
        tags.append(TAGS.index(word.slot or "none"))
        if word.comma:
            words.append(",")
            tags.append(0)
    return {"words": [*words, "."], "tags": [*tags, 0]}
