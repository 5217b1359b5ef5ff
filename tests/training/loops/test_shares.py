"""The plain loop on two processes: whole copies and shares of the model train alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.spec.case import Case
from tests.support.small_runs import small_case, train, write_pairs

pytestmark = pytest.mark.slow


def test_shares_and_whole_copies_are_identical_without_a_clip(tmp_path: Path) -> None:
    """The norm of a clip is rounded otherwise. The control is another learning rate."""
    data = write_pairs(tmp_path / "data", train=24, validation=4)

    def case(**settings: Any) -> Case:
        made = small_case(data, max_steps=3, max_grad_norm=None, **settings)
        return made.model_copy(update={"world_size": 2, "digests": "device"})

    recipes: dict[str, dict[str, Any]] = {
        "ddp": {},
        "fsdp2": {"parallel": "fsdp2"},
        "other": {"parallel": "fsdp2", "learning_rate": 4e-5},
    }
    found = {
        name: train(case(**settings), ["plain"], tmp_path / name)["plain"]
        for name, settings in recipes.items()
    }
    labels = ("ddp", "fsdp2")
    same = compare(found["ddp"], found["fsdp2"], labels)
    assert "identical" == same.outcome, (same.first_divergence, same.doubts)
    assert found["fsdp2"].header.in_shares
    assert not found["ddp"].header.in_shares
    assert found["ddp"].tensors.equals(found["fsdp2"].tensors)
    first = compare(found["ddp"], found["other"], labels).first_divergence
    assert first is not None
    assert (1, "learning_rate") == (first.step, first.stage)
