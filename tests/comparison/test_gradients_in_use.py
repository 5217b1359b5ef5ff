"""Gradients that no step uses are no difference; those that a step uses are one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.comparison.test_rates import rated
from tests.support.records import TENSORS, Draft, compare_drafts

BACKBONE, HEAD = TENSORS[0], TENSORS[1]
HELD = [-1, 0, 0]
"""Owners of the parameters of a step whose optimizer does not hold the backbone."""


def held(owners: list[int], step: int | None = None) -> Draft:
    """A command whose optimizers hold these parameters at one step, or at each; else the head."""
    made = rated([1e-3], HELD)
    for row in made.rows["steps"]:
        if step in (None, row["step"]):
            row["rate_of"] = owners
    return made


def other_gradient(made: Draft, step: int, tensor: str) -> Draft:
    """The draft with another gradient of one tensor, and another norm of all of them."""
    made.tensor(step, tensor)["gradient"] ^= 1
    made.step(step)["gradients"] ^= 1
    made.step(step)["grad_norm"] *= 2
    return made


def with_norms(made: Draft, step: int, applied: float) -> Draft:
    """The draft with norms of the head's gradient: 1 as it is, and as the update used it."""
    row: dict[str, Any] = {"step": step, "tensor": HEAD, "weight": None, "gradient": 1.0}
    made.rows.setdefault("norms", []).append({**row, "applied": applied})
    return made


def test_gradients_that_no_optimizer_of_the_step_holds_are_no_difference(tmp_path: Path) -> None:
    """A critic keeps those of its generator's step, and zeroes them before its own."""
    found = compare_drafts(tmp_path, held(HELD), other_gradient(held(HELD), 2, BACKBONE))
    assert "identical" == found.outcome, found.doubts


def test_gradients_that_one_of_the_two_uses_are_a_difference(tmp_path: Path) -> None:
    """Counterpart: another tensor, an optimizer that holds it in one run, or unknown owners."""
    pairs = {
        "another tensor": (held(HELD), other_gradient(held(HELD), 2, HEAD)),
        "held in one": (held(HELD), other_gradient(held([0, 0, 0], 2), 2, BACKBONE)),
        "both differ": (
            held(HELD),
            other_gradient(other_gradient(held(HELD), 2, BACKBONE), 2, HEAD),
        ),
        "used later": (
            held([0, 0, 0], 3),
            other_gradient(other_gradient(held([0, 0, 0], 3), 2, BACKBONE), 3, BACKBONE),
        ),
    }
    for name, pair in pairs.items():
        first = compare_drafts(tmp_path / name, *pair).first_divergence
        assert first is not None
        tensor = BACKBONE if name in ("held in one", "used later") else HEAD
        step = 3 if name == "used later" else 2
        assert (step, "gradients", tensor) == (first.step, first.stage, first.tensor), name
        assert 1 == first.tensors_differing, name


def test_unknown_owners_excuse_nothing(tmp_path: Path) -> None:
    """A record that does not state who holds a parameter."""
    pair = held(HELD), other_gradient(held(HELD), 2, BACKBONE)
    for made in pair:
        made.step(2)["rate_of"] = None
    first = compare_drafts(tmp_path, *pair).first_divergence
    assert first is not None
    assert (2, "gradients") == (first.step, first.stage)


def test_gradients_that_a_clip_counts_are_used(tmp_path: Path) -> None:
    """The norm of all gradients is twice as large, so the same clip halves those of the head."""
    for factor, stage in ((0.25, "gradients"), (0.5, "weights")):
        one = with_norms(held(HELD), 2, 0.5)
        two = with_norms(other_gradient(held(HELD), 2, BACKBONE), 2, factor)
        two.step(2)["weights"] ^= 1
        two.tensor(2, HEAD)["weight"] ^= 1
        first = compare_drafts(tmp_path / stage, one, two).first_divergence
        assert first is not None
        assert (2, stage) == (first.step, first.stage)
