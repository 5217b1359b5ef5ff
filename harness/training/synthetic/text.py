"""Generated text for language models: passages of sentences from `grammar.py`.

A perplexity on this text is not comparable with one on real text. Passages differ in length, so
padded rows hold different numbers of tokens.
"""

from random import Random
from typing import Final, NamedTuple

from harness.training.synthetic.grammar import draw_pair

__all__ = ["TextSplits", "passages", "text_splits"]

_SENTENCES: Final = (1, 1, 2, 2, 3)
"""The numbers of sentences in a passage; a repeated number is drawn more often."""

# Seeds are arbitrary; no other data set of this package uses them.
_TRAIN_ROWS: Final = 1200
_TRAIN_SEED: Final = 20_260_101
_VALIDATION_ROWS: Final = 120
_VALIDATION_SEED: Final = 20_260_102


class TextSplits(NamedTuple):
    """Rows with the one column `text`."""

    train: list[dict[str, str]]
    validation: list[dict[str, str]]


def passages(count: int, seed: int) -> list[dict[str, str]]:
    """Return `count` rows of `text`, one to three sentences each.

    The same arguments give the same rows on every machine. Raises ValueError if `count` is
    negative.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, but is {count}; ask for 0 rows or more")
    random = Random(seed)
    return [{"text": _passage(random)} for _ in range(count)]


def text_splits() -> TextSplits:
    """Return 1200 passages for training and 120 for validation, drawn from different seeds."""
    return TextSplits(
        passages(_TRAIN_ROWS, _TRAIN_SEED), passages(_VALIDATION_ROWS, _VALIDATION_SEED)
    )


def _passage(random: Random) -> str:
    count = random.choice(_SENTENCES)
    return " ".join(draw_pair(random, 1).first.text for _ in range(count))
