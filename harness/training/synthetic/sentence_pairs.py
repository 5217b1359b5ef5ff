"""A generated data set of sentence pairs with the schema and the sizes of MRPC.

With it the default case runs without a network. The sentences come from `grammar.py`, not from a
corpus, so an accuracy on them is not comparable with an accuracy on MRPC. The task (is the second
sentence a paraphrase of the first?), the number of rows and the approximate lengths are the same.
"""

from random import Random
from typing import Final, NamedTuple, TypeAlias

from harness.training.synthetic.grammar import draw_pair
from harness.training.synthetic.lexicon import (
    ASIDES,
    CONCEPTS,
    CORE_WORDINGS,
    MANNERS,
    OPENINGS,
    TOWN_PIECES,
    TRAILERS,
)

__all__ = ["Row", "Splits", "sentence_pairs", "splits", "vocabulary"]

Row: TypeAlias = dict[str, str | int]

_POSITIVE_SHARE: Final = 2 / 3

# Rows and paraphrases of MRPC's two splits. Seeds are arbitrary; `pretrain.py` uses neither.
_TRAIN_ROWS: Final = 3668
_TRAIN_POSITIVES: Final = 2474
_TRAIN_SEED: Final = 20_030_801
_VALIDATION_ROWS: Final = 408
_VALIDATION_POSITIVES: Final = 279
_VALIDATION_SEED: Final = 20_030_802

_SPECIAL_TOKENS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Splits(NamedTuple):
    """The two splits; no pair of one is in the other."""

    train: list[Row]
    validation: list[Row]


def sentence_pairs(count: int, seed: int) -> list[Row]:
    """Return `count` rows of `sentence1`, `sentence2`, `label` and `idx`, two thirds of label 1.

    The same arguments give the same rows on every machine. `idx` counts from 0; no two rows have
    the same two sentences. Raises ValueError if `count` is negative.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, but is {count}; ask for 0 rows or more")
    return _draw_rows(count, round(count * _POSITIVE_SHARE), seed, set())


def splits() -> Splits:
    """Return 3668 rows for training and 408 for validation, as many of each label as MRPC has."""
    taken: set[tuple[str, str]] = set()
    train = _draw_rows(_TRAIN_ROWS, _TRAIN_POSITIVES, _TRAIN_SEED, taken)
    validation = _draw_rows(_VALIDATION_ROWS, _VALIDATION_POSITIVES, _VALIDATION_SEED, taken)
    return Splits(train, validation)


def vocabulary() -> list[str]:
    """Return the WordPiece vocabulary, special tokens first, in the order of the token ids.

    It is lower case. Every sentence of the grammar is made of its entries; towns and numbers take
    two pieces each.
    """
    templates = [*CORE_WORDINGS, *MANNERS, *ASIDES]
    for clauses in (OPENINGS, TRAILERS):
        templates += [wording for wordings in clauses.values() for wording in wordings]
    words = {
        item.rstrip(",")
        for template in templates
        for item in template.split()
        if not item.startswith("{") and item != ","
    }
    words |= {
        name.lower()
        for slot, concepts in CONCEPTS.items()
        if slot != "place"
        for names in concepts
        for name in names
    }
    pieces = {first for first, _ in TOWN_PIECES} | {f"##{second}" for _, second in TOWN_PIECES}
    digits = [str(digit) for digit in range(10)]
    pieces |= {*digits, *(f"##{digit}" for digit in digits)}
    return [*_SPECIAL_TOKENS, ",", ".", *sorted(words | pieces)]


def _draw_rows(count: int, positives: int, seed: int, taken: set[tuple[str, str]]) -> list[Row]:
    """Draw rows whose pairs are not in `taken`, and add them to it."""
    random = Random(seed)
    labels = [1] * positives + [0] * (count - positives)
    random.shuffle(labels)
    rows: list[Row] = []
    for idx, label in enumerate(labels):
        while True:
            pair = draw_pair(random, label)
            sentences = (pair.first.text, pair.second.text)
            if sentences not in taken and sentences[0] != sentences[1]:
                break
        taken.add(sentences)
        rows.append(
            {"sentence1": sentences[0], "sentence2": sentences[1], "label": label, "idx": idx}
        )
    return rows
