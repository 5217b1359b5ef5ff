"""The generated text, tags and images are repeatable and have the stated properties."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from harness.training.synthetic.sentence_pairs import vocabulary
from harness.training.synthetic.shapes import CLASSES, image_splits, images
from harness.training.synthetic.tagged_sentences import TAGS, tagged_sentences, tagged_splits
from harness.training.synthetic.text import passages, text_splits


def test_the_same_seed_gives_the_same_rows_and_another_does_not() -> None:
    """Each generator depends only on its seed."""
    for make in (passages, tagged_sentences):
        assert make(20, 1) == make(20, 1)
        assert make(20, 1) != make(20, 2)
    assert np.array_equal(images(20, 1).pixels, images(20, 1).pixels)
    assert not np.array_equal(images(20, 1).pixels, images(20, 2).pixels)


def test_no_row_of_one_split_is_in_the_other() -> None:
    """No validation row is a training row."""
    for splits in (text_splits(), tagged_splits()):
        known = {json.dumps(row) for row in splits.train}
        assert not known & {json.dumps(row) for row in splits.validation}
    train, validation = image_splits()
    seen = {hashlib.sha256(image.tobytes()).digest() for image in train.pixels}
    assert not seen & {hashlib.sha256(image.tobytes()).digest() for image in validation.pixels}


def test_texts_differ_in_length() -> None:
    """Passages of one to three sentences give rows of different lengths."""
    rows = passages(200, 3)
    assert {1, 2, 3} == {row["text"].count(".") for row in rows}
    assert len({len(row["text"].split()) for row in rows}) > 20


def test_every_word_has_its_tag() -> None:
    """A number after "jobs of" counts jobs, one before "million" is an amount; each tag occurs."""
    rows = tagged_sentences(300, 3)
    seen: Counter[int] = Counter()
    entries = set(vocabulary())
    for row in rows:
        words, tags = [str(word) for word in row["words"]], [int(tag) for tag in row["tags"]]
        assert len(words) == len(tags)
        seen.update(tags)
        for (word, tag), (after, _) in pairwise(zip(words, tags, strict=True)):
            if word.isdigit():
                assert TAGS[tag] == ("amount" if after == "million" else "jobs")
            elif TAGS[tag] not in ("place",):
                assert word.lower() in entries
    assert set(range(len(TAGS))) == set(seen)


def test_classes_of_images_are_equally_common_and_look_different() -> None:
    """Except for noise, stripes are constant along one axis; discs and crosses along neither."""
    made = images(40, 5)
    assert (40, 3, 32, 32) == made.pixels.shape
    assert np.float32 == made.pixels.dtype
    assert {10} == set(Counter(made.labels.tolist()).values())
    for pixels, label in zip(made.pixels, made.labels, strict=True):
        along_rows, along_columns = pixels.std(axis=2).max(), pixels.std(axis=1).max()
        expected = {0: (True, False), 1: (False, True)}.get(int(label), (False, False))
        assert expected == (along_rows < 0.1, along_columns < 0.1), CLASSES[label]


def test_invalid_arguments_are_refused() -> None:
    """Negative counts and images too small for a figure raise."""
    for make in (passages, tagged_sentences, images):
        with pytest.raises(ValueError, match="at least 0"):
            make(-1, 0)
    with pytest.raises(ValueError, match="at least 8"):
        images(1, 0, size=4)
