"""The default data set has the shape of MRPC, is the same everywhere, and has no shortcut.

No torch: the rows must be made where it is not installed.
"""

import hashlib
import json
import statistics
from collections.abc import Iterable
from itertools import pairwise

import pytest

from harness.training.synthetic.sentence_pairs import (
    Row,
    Splits,
    sentence_pairs,
    splits,
    vocabulary,
)

# Digests of the rows as accepted with the shipped checkpoint, which was pretrained on this grammar.
# After a change of the grammar, pretrain again and enter the new digests here.
TRAIN_DIGEST = "9c7ccbbd4e0d7d990c1b489c438390e99b5eca687f2f5a9a812690866476da0c"
VALIDATION_DIGEST = "8077d6b2f1f8b0c2764b290e3f1a1adff4e9c6c973a99ca08e900ef69539e1ad"


@pytest.fixture(scope="module")
def data() -> Splits:
    return splits()


def digest(rows: list[Row]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def text_pairs(rows: Iterable[Row]) -> set[tuple[str, str]]:
    return {(str(row["sentence1"]), str(row["sentence2"])) for row in rows}


def sentence_lengths(rows: Iterable[Row]) -> list[int]:
    return [len(sentence.split()) for pair in text_pairs(rows) for sentence in pair]


def words_of(sentence: object) -> list[str]:
    return str(sentence).lower().replace(",", " ,").replace(".", " .").split()


def pieces_of(word: str, entries: set[str]) -> list[str]:
    """The word in pieces by greedy longest match, or ["[UNK]"]."""
    pieces: list[str] = []
    rest = word
    while rest:
        prefix = "##" if pieces else ""
        ends = (end for end in range(len(rest), 0, -1) if prefix + rest[:end] in entries)
        end = next(ends, None)
        if end is None:
            return ["[UNK]"]
        pieces.append(prefix + rest[:end])
        rest = rest[end:]
    return pieces


def overlap(row: Row) -> float:
    """Shared words divided by all words of both sentences (Jaccard)."""
    first, second = set(words_of(row["sentence1"])), set(words_of(row["sentence2"]))
    return len(first & second) / len(first | second)


def best_threshold_accuracy(rows: list[Row], scores: list[float]) -> float:
    """The accuracy of the best rule "1 if the score is at least t", fitted on the rows themselves.

    A bound from above: no threshold chosen on other rows does better on these.
    """
    labels = [row["label"] for row in rows]
    ordered = sorted(zip(scores, labels, strict=True), key=lambda pair: pair[0])
    correct = best = labels.count(1)
    for place, (score, label) in enumerate(ordered):
        correct += 1 if label == 0 else -1
        last_of_its_score = place + 1 == len(ordered) or ordered[place + 1][0] != score
        if last_of_its_score:
            best = max(best, correct)
    return best / len(rows)


def test_splits_have_the_sizes_and_label_counts_of_mrpc(data: Splits) -> None:
    """Train has 3668 rows with 2474 paraphrases, validation 408 with 279."""
    counts = [(len(rows), sum(row["label"] == 1 for row in rows)) for rows in data]

    assert [(3668, 2474), (408, 279)] == counts


def test_rows_have_the_schema_of_mrpc(data: Splits) -> None:
    """A row has two sentences, a label of 0 or 1, and its index in the split."""
    for rows in data:
        assert list(range(len(rows))) == [row["idx"] for row in rows]
        for row in rows:
            assert ["sentence1", "sentence2", "label", "idx"] == list(row)
            assert row["label"] in (0, 1)
            for sentence in (str(row["sentence1"]), str(row["sentence2"])):
                assert sentence[0].isupper()
                assert sentence.endswith(".")
                assert "{" not in sentence
                assert "  " not in sentence


@pytest.mark.parametrize(("count", "positives"), [(0, 0), (1, 1), (3, 2), (300, 200)])
def test_two_thirds_of_any_count_are_paraphrases(count: int, positives: int) -> None:
    """The share of label 1 is two thirds, rounded."""
    rows = sentence_pairs(count, seed=5)

    assert count == len(rows)
    assert positives == sum(row["label"] == 1 for row in rows)


def test_negative_count_is_refused() -> None:
    """The message states the value met."""
    with pytest.raises(ValueError, match="is -1"):
        sentence_pairs(-1, seed=5)


def test_labels_are_shuffled(data: Splits) -> None:
    """Neighbouring rows have different labels about as often as in independent draws."""
    labels = [row["label"] for row in data.train]
    share = labels.count(1) / len(labels)
    expected = 2 * share * (1 - share)

    observed = statistics.mean(a != b for a, b in pairwise(labels))
    in_blocks = sorted(labels, key=str)
    planted = statistics.mean(a != b for a, b in pairwise(in_blocks))

    assert expected == pytest.approx(observed, abs=0.04)
    assert expected != pytest.approx(planted, abs=0.04)


def test_rows_are_those_accepted_with_the_checkpoint(data: Splits) -> None:
    """The splits equal, byte for byte, those on which the shipped checkpoint was measured."""
    assert TRAIN_DIGEST == digest(data.train)
    assert VALIDATION_DIGEST == digest(data.validation)


def test_digest_notices_one_changed_word(data: Splits) -> None:
    """Control: one additional word in one row changes the digest."""
    altered = [dict(row) for row in data.validation]
    altered[200]["sentence2"] = f"Also, {altered[200]['sentence2']}"

    assert digest(data.validation) != digest(altered)


def test_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    """Rows depend only on the seed."""
    assert sentence_pairs(50, seed=1) == sentence_pairs(50, seed=1)
    assert sentence_pairs(50, seed=1) != sentence_pairs(50, seed=2)


def test_no_pair_occurs_twice(data: Splits) -> None:
    """Within a split every pair is unique, its sentences differ, and no pair is in both splits."""
    train, validation = text_pairs(data.train), text_pairs(data.validation)

    assert 3668 == len(train)
    assert 408 == len(validation)
    assert not train & validation
    assert all(first != second for first, second in train | validation)


def test_uniqueness_check_notices_a_repeated_row(data: Splits) -> None:
    """Control: with one row twice, the unique pairs are fewer than the rows."""
    assert 409 > len(text_pairs([*data.validation, data.validation[0]]))


def test_lengths_are_spread_like_those_of_mrpc(data: Splits) -> None:
    """MRPC has 18.9 words per sentence, standard deviation 5.1; both agree within one word."""
    lengths = sentence_lengths(data.train)

    assert statistics.mean(lengths) == pytest.approx(18.9, abs=1.0)
    assert statistics.pstdev(lengths) == pytest.approx(5.1, abs=1.0)
    assert min(lengths) >= 5
    assert max(lengths) <= 40


def test_vocabulary_begins_with_the_special_tokens_and_has_no_entry_twice() -> None:
    """The special tokens of BERT have the ids 0 to 4, and each entry has one id."""
    entries = vocabulary()

    assert ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] == entries[:5]
    assert len(entries) == len(set(entries))
    assert len(entries) <= 1500


def test_vocabulary_spells_every_sentence(data: Splits) -> None:
    """No word of either split is unknown, and some are spelled in pieces."""
    entries = set(vocabulary())
    words = {
        word
        for row in (*data.train, *data.validation)
        for sentence in (row["sentence1"], row["sentence2"])
        for word in words_of(sentence)
    }
    spelled = {word: pieces_of(word, entries) for word in words}

    assert [] == [word for word, pieces in spelled.items() if "[UNK]" in pieces]
    assert ["nor", "##vale"] == spelled["norvale"]


def test_spelling_notices_a_missing_entry() -> None:
    """Control: without its second piece, a town is unknown."""
    assert ["[UNK]"] == pieces_of("norvale", set(vocabulary()) - {"##vale"})


def test_shared_words_do_not_reveal_the_label(data: Splits) -> None:
    """No threshold on word overlap, nor on length, beats the constant answer by 0.02."""
    rows = data.train
    constant = 2474 / 3668
    lengths = [float(len(str(row["sentence1"]) + str(row["sentence2"]))) for row in rows]
    overlaps = [overlap(row) for row in rows]

    assert best_threshold_accuracy(rows, overlaps) < constant + 0.02
    assert best_threshold_accuracy(rows, [-score for score in overlaps]) < constant + 0.02
    assert best_threshold_accuracy(rows, lengths) < constant + 0.02


def test_overlap_check_notices_a_revealing_overlap(data: Splits) -> None:
    """Control: the same check fails if non-paraphrases share fewer words."""
    planted = [overlap(row) - 0.4 * (row["label"] == 0) for row in data.train]

    assert best_threshold_accuracy(data.train, planted) > 0.80


def test_accuracy_of_the_best_threshold_is_right_by_hand() -> None:
    """Labels 0 1 0 1 1 by rising score: a threshold after the first is right in 4 of 5 rows."""
    rows: list[Row] = [{"label": label} for label in (0, 1, 0, 1, 1)]

    assert 4 / 5 == best_threshold_accuracy(rows, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert 3 / 5 == best_threshold_accuracy(rows, [0.5, 0.5, 0.5, 0.5, 0.5])


def test_both_labels_reword(data: Splits) -> None:
    """Paraphrases and others share about as many words, with a wide spread in both."""
    scores = {
        label: [overlap(row) for row in data.train if row["label"] == label] for label in (0, 1)
    }

    assert abs(statistics.mean(scores[0]) - statistics.mean(scores[1])) < 0.05
    assert min(statistics.pstdev(scores[0]), statistics.pstdev(scores[1])) > 0.12
