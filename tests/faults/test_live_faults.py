"""Faults alive in the libraries are shown with their factor, and gone by the documented remedy.

Each is pinned to the versions in which it was seen. Under others a fault that is gone is news, and
the test says so by skipping; one that is still there is found as before.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from harness.results.comparison import Comparison
from harness.spec.case import Case
from tests.support.small_runs import comparison, small_case, train, write_pairs

pytestmark = pytest.mark.slow

SEEN = {"transformers": "5.23.0", "accelerate": "1.15.0"}


def pair(case: Case, loop: str, folder: Path, **own: Any) -> Comparison:
    """Plain against `loop`, which sets `own` fields of the recipe otherwise."""
    changed = case.model_copy(update={"overrides": {loop: own}})
    return comparison(train(changed, ["plain", loop], folder), "plain", loop)


def expect_fault(found: Comparison, library: str) -> None:
    """Skip with the news where another version than the one seen has no such fault."""
    installed = metadata.version(library)
    if found.outcome == "identical" and installed != SEEN[library]:
        pytest.skip(f"news: {library} {installed} mended what {SEEN[library]} has")
    assert "different" == found.outcome


def first_grad_norm_ratio(found: Comparison) -> float:
    """Of the candidate to the reference, at the first step."""
    ratio = next(f.ratio for f in found.findings if f.metric == "first_grad_norm")
    assert ratio is not None
    return ratio


@pytest.mark.parametrize("k", [2, 4])
def test_the_trainer_does_not_average_what_a_bert_head_ignores(k: int, tmp_path: Path) -> None:
    """With k accumulated micro-batches its gradients are k times as large; the remedy mends it."""
    case = small_case(write_pairs(tmp_path / "data"), gradient_accumulation_steps=k)
    found = pair(case, "trainer", tmp_path / "stock", loss_average="model")
    expect_fault(found, "transformers")
    assert found.first_divergence is not None
    assert (1, "gradients") == (found.first_divergence.step, found.first_divergence.stage)
    assert k == pytest.approx(first_grad_norm_ratio(found), rel=1e-6)
    assert "identical" == pair(case, "trainer", tmp_path / "remedied").outcome


def test_accelerate_divides_a_short_last_window_by_the_configured_number(tmp_path: Path) -> None:
    """6 batches at 4 a window: the second window of 2 is divided by 4; the remedy mends it."""
    case = small_case(write_pairs(tmp_path / "data"), gradient_accumulation_steps=4)
    folder = tmp_path / "stock"
    changed = case.model_copy(update={"overrides": {"accelerated": {"loss_average": "configured"}}})
    records = train(changed, ["plain", "accelerated"], folder)
    found = comparison(records, "plain", "accelerated")
    expect_fault(found, "accelerate")
    assert found.first_divergence is not None
    assert (2, "gradients") == (found.first_divergence.step, found.first_divergence.stage)
    norms = [records[loop].steps["grad_norm"][1].as_py() for loop in ("accelerated", "plain")]
    assert 2 / 4 == pytest.approx(norms[0] / norms[1], rel=1e-6)
    assert "identical" == pair(case, "accelerated", tmp_path / "remedied").outcome
