"""Seeding repeats every generator, and what is drawn inside a guard leaves no trace."""

from __future__ import annotations

import random

import numpy as np
import torch

from harness.fingerprint import of_generators
from harness.seeding import generators_restored, seed_everything

_CPU = torch.device("cpu")


def test_the_same_seed_gives_the_same_generators() -> None:
    """After seeding, all generators stand where they stood; another seed puts them elsewhere."""
    seed_everything(3)
    first = of_generators(_CPU)
    torch.rand(2)
    assert first != of_generators(_CPU)
    seed_everything(3)
    assert first == of_generators(_CPU)
    seed_everything(4)
    assert first != of_generators(_CPU)


def test_draws_inside_the_guard_are_undone() -> None:
    """Numbers drawn inside the guard, even before an error, are as if never drawn."""
    seed_everything(3)
    before = of_generators(_CPU)
    with generators_restored():
        random.random()
        np.random.random()
        torch.rand(1)
        assert before != of_generators(_CPU)
    assert before == of_generators(_CPU)
