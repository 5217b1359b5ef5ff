"""Encodes pairs of the grammar as tensors, with a mark on every word that states a fact.

Only `pretrain.py` uses it. Each word is tokenized separately, so each of its pieces gets its mark.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from transformers import BertTokenizer

from harness.training.synthetic.grammar import Pair, Sentence
from harness.training.synthetic.sentence_pairs import vocabulary

__all__ = ["MAX_TOKENS", "NO_FACT", "Batch", "PairReader", "write_tokenizer"]

# The longest pair of the grammar has fewer than a hundred.
MAX_TOKENS: Final = 128

# The mark of a token that states no fact; cross entropy ignores it.
NO_FACT: Final = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs padded to the longest; every field is (pair, token), but `labels` is (pair,)."""

    input_ids: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    # 1: the token states a fact that the other sentence contradicts; 0: it does not; NO_FACT.
    changed: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class _Encoding:
    ids: list[int]
    types: list[int]
    marks: list[int]


class PairReader:
    """Encodes pairs to the same ids as `tokenizer` encodes their texts."""

    def __init__(self, tokenizer: BertTokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids_of: dict[str, list[int]] = {}

    def read(self, pairs: Sequence[Pair]) -> Batch:
        """Encode `pairs`, at least one."""
        encodings = [self._encode(pair) for pair in pairs]
        return Batch(
            input_ids=_pad([encoding.ids for encoding in encodings], 0),
            token_type_ids=_pad([encoding.types for encoding in encodings], 0),
            attention_mask=_pad([[1] * len(encoding.ids) for encoding in encodings], 0),
            changed=_pad([encoding.marks for encoding in encodings], NO_FACT),
            labels=torch.tensor([pair.label for pair in pairs]),
        )

    def _encode(self, pair: Pair) -> _Encoding:
        encoding = _Encoding(list(self._ids("[CLS]")), [0], [NO_FACT])
        for segment, sentence in enumerate((pair.first, pair.second)):
            for ids, mark in self._marked_ids(sentence, pair.changed):
                encoding.ids.extend(ids)
                encoding.types.extend([segment] * len(ids))
                encoding.marks.extend([mark] * len(ids))
        return encoding

    def _marked_ids(
        self, sentence: Sentence, changed: frozenset[str]
    ) -> Iterator[tuple[list[int], int]]:
        for word in sentence.words:
            mark = NO_FACT if word.slot is None else int(word.slot in changed)
            yield self._ids(word.text), mark
            if word.comma:
                yield self._ids(","), NO_FACT
        yield self._ids("."), NO_FACT
        yield self._ids("[SEP]"), NO_FACT

    def _ids(self, text: str) -> list[int]:
        if text not in self._ids_of:
            encoded = self._tokenizer(text, add_special_tokens=False)
            self._ids_of[text] = list(encoded["input_ids"])
        return self._ids_of[text]


def write_tokenizer(folder: Path) -> BertTokenizer:
    """Write `vocab.txt` and the files for AutoTokenizer to `folder`, created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = vocabulary()
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(
        vocab={entry: index for index, entry in enumerate(entries)},
        do_lower_case=True,
        model_max_length=MAX_TOKENS,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def _pad(rows: list[list[int]], filling: int) -> Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [filling] * (longest - len(row)) for row in rows])
