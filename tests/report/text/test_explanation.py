"""An explanation in words: one sentence first, numbers after."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.text.explanation import lines, sentence
from harness.results.divergence import Divergence
from harness.results.explanation import Explanation
from harness.results.report import verdict
from tests.support.small_report import CODE, EXPLAINED

ONE = EXPLAINED.contributions[:1]
REST = Divergence(step=2, stage="gradients", tensor="classifier.bias")


def changed(found: Explanation, **changes: Any) -> Explanation:
    """An explanation with some of it otherwise."""
    return found.model_copy(update=changes)


SENTENCES = {
    "explained": (
        EXPLAINED,
        "plain against trainer: the whole difference comes from sampler and max_grad_norm; with "
        "these as trainer has them the two are identical, bit for bit, at all 12 steps; one more "
        "field differs and does nothing",
    ),
    "by one field": (
        changed(EXPLAINED, contributions=ONE, differing=("sampler",)),
        "plain against trainer: the whole difference comes from sampler; with it as trainer has it "
        "the two are identical, bit for bit, at all 12 steps",
    ),
    "identical": (
        changed(EXPLAINED, outcome="identical", contributions=()),
        "plain against trainer: the two compute the same, so there is nothing to explain",
    ),
    "one recipe": (
        CODE,
        "faulty against plain: no field of the recipe explains it, since both follow the same one; "
        "they part at step 3 in gradients of classifier.bias, so look at the code there",
    ),
    "code": (
        changed(CODE, differing=("seed", "sampler", "eps"), rest=REST),
        "faulty against plain: no field of the recipe explains it; with all 3 fields in which they "
        "differ as plain has them they still part at step 2 in gradients of classifier.bias, so "
        "look at the code there",
    ),
    "fields, then code": (
        changed(CODE, differing=("seed", "sampler"), rest=REST, contributions=ONE, steps=1),
        "faulty against plain: with both fields in which they differ as plain has them they still "
        "part at step 2 in gradients of classifier.bias, so look at the code there; up to step 1 "
        "the difference comes from sampler",
    ),
    "unfinished": (
        changed(EXPLAINED, outcome="unfinished", minimal=False, steps=10, whole=False),
        "plain against trainer: not finished; sampler and max_grad_norm are enough up to step 10, "
        "and perhaps fewer would be",
    ),
    "hardly begun": (
        changed(EXPLAINED, outcome="unfinished", contributions=(), steps=0),
        "plain against trainer: not finished; no field is known to matter",
    ),
}


@pytest.mark.parametrize("which", SENTENCES)
def test_the_sentence(which: str) -> None:
    """As a reader gets it, whole."""
    found, expected = SENTENCES[which]
    assert expected == sentence(found)


def test_what_it_cost_is_told_with_what_was_promised() -> None:
    """Replays and steps; and fields that the loop could not take."""
    assert [
        "Cost: 9 replays, 108 steps, of at most 180; 2 replays of an earlier try were there"
    ] == lines(EXPLAINED)
    refused = changed(EXPLAINED, refused={"loss_average": "no"})
    assert "loss_average was left as plain has it: no" == lines(refused)[0]


def test_an_unfinished_explanation_is_no_verdict() -> None:
    """Though it is known that the two differ; a failure is worse."""
    unfinished = changed(EXPLAINED, outcome="unfinished")
    assert "no_verdict" == verdict(["completed"], [], [unfinished])
    assert "failed" == verdict(["failed"], [], [unfinished])
