"""An explanation in sentences: the result, and its cost."""

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
        "trainer's values for them the two are identical, bit for bit, at all 12 steps; one more "
        "field differs, without effect",
    ),
    "by one field": (
        changed(EXPLAINED, contributions=ONE, differing=("sampler",)),
        "plain against trainer: the whole difference comes from sampler; with "
        "trainer's value for it the two are identical, bit for bit, at all 12 steps",
    ),
    "identical": (
        changed(EXPLAINED, outcome="identical", contributions=()),
        "plain against trainer: both compute the same values, so there is nothing to explain",
    ),
    "one recipe": (
        CODE,
        "faulty against plain: no recipe field explains the difference, because the recipes are "
        "the "
        "same; the two first differ at step 3 in gradients of classifier.bias: inspect the code "
        "there",
    ),
    "code": (
        changed(CODE, differing=("seed", "sampler", "eps"), rest=REST),
        "faulty against plain: no recipe field explains the difference; with plain's values of "
        "all 3 "
        "differing fields the two still differ, first at step 2 in gradients of classifier.bias: "
        "inspect the code there",
    ),
    "fields, then code": (
        changed(CODE, differing=("seed", "sampler"), rest=REST, contributions=ONE, steps=1),
        "faulty against plain: with plain's values of both differing fields the two still differ, "
        "first at step 2 in gradients of classifier.bias: inspect the code there; up to step 1 "
        "the difference comes from sampler",
    ),
    "unfinished": (
        changed(EXPLAINED, outcome="unfinished", minimal=False, steps=10, whole=False),
        "plain against trainer: not finished; sampler and max_grad_norm explain the difference "
        "up to step 10; fewer fields may suffice",
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


def test_the_cost_is_given_with_its_limit() -> None:
    """Replays and steps; and fields that the loop could not take."""
    assert [
        "Cost: 9 replays, 108 of at most 180 steps; 2 replays reused from an earlier attempt"
    ] == lines(EXPLAINED)
    refused = changed(EXPLAINED, refused={"loss_average": "no"})
    assert "loss_average keeps plain's value: no" == lines(refused)[0]


def test_an_unfinished_explanation_is_no_verdict() -> None:
    """Though it is known that the two differ; a failure is worse."""
    unfinished = changed(EXPLAINED, outcome="unfinished")
    assert "no_verdict" == verdict(["completed"], [], [unfinished])
    assert "failed" == verdict(["failed"], [], [unfinished])
