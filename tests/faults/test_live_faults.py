"""Faults of the installed libraries are found with their factor, and the documented remedy works.

Each fault is bound to the library version in which it was seen. With another version the test is
skipped with a message if the fault is gone; if it is still there, it must be found as before.
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
    """The comparison of plain with `loop`, whose recipe differs in the fields `own`."""
    changed = case.model_copy(update={"overrides": {loop: own}})
    return comparison(train(changed, ["plain", loop], folder), "plain", loop)


def expect_fault(found: Comparison, library: str) -> None:
    """Require a difference; skip if another version than the one seen no longer has it."""
    installed = metadata.version(library)
    if found.outcome == "identical" and installed != SEEN[library]:
        pytest.skip(f"news: {library} {installed} has no longer the fault of {SEEN[library]}")
    assert "different" == found.outcome


def first_grad_norm_ratio(found: Comparison) -> float:
    """The gradient norm of the candidate over that of the reference, at the first step."""
    ratio = next(f.ratio for f in found.findings if f.metric == "first_grad_norm")
    assert ratio is not None
    return ratio


@pytest.mark.parametrize("k", [2, 4])
def test_the_trainer_does_not_average_what_a_bert_head_ignores(k: int, tmp_path: Path) -> None:
    """With k micro-batches its gradients are k times as large; with the remedy they are equal."""
    case = small_case(write_pairs(tmp_path / "data"), gradient_accumulation_steps=k)
    found = pair(case, "trainer", tmp_path / "stock", loss_average="model")
    expect_fault(found, "transformers")
    assert found.first_divergence is not None
    assert (1, "loss") == (found.first_divergence.step, found.first_divergence.stage)
    assert k == pytest.approx(first_grad_norm_ratio(found), rel=1e-6)
    assert "identical" == pair(case, "trainer", tmp_path / "remedied").outcome


def test_accelerate_divides_a_short_last_window_by_the_configured_number(tmp_path: Path) -> None:
    """6 batches, 4 per window: the second window of 2 is divided by 4, unless it is remedied."""
    case = small_case(write_pairs(tmp_path / "data"), gradient_accumulation_steps=4)
    folder = tmp_path / "stock"
    changed = case.model_copy(update={"overrides": {"accelerated": {"loss_average": "configured"}}})
    records = train(changed, ["plain", "accelerated"], folder)
    found = comparison(records, "plain", "accelerated")
    expect_fault(found, "accelerate")
    assert found.first_divergence is not None
    assert (2, "loss") == (found.first_divergence.step, found.first_divergence.stage)
    norms = [records[loop].steps["grad_norm"][1].as_py() for loop in ("accelerated", "plain")]
    assert 2 / 4 == pytest.approx(norms[0] / norms[1], rel=1e-6)
    assert "identical" == pair(case, "accelerated", tmp_path / "remedied").outcome
