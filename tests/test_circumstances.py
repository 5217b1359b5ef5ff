"""What surrounds the values is observed: who changed gradients or weights, in which mode, and when.

Each test has its control: a loop that does nothing of the kind leaves no observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.record import Observation
from tests.test_probe import Watched, batch


def gradients(watched: Watched) -> list[torch.Tensor]:
    return [p.grad for p in watched.model.parameters() if p.grad is not None]


def sound(watched: Watched) -> None:
    """Two updates of two micro-batches, with an evaluation between them."""
    for _ in range(2):
        watched.backward(0, 1)
        watched.backward(2, 3)
        torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 1e-3)
        watched.step()
        watched.model.eval()
        with torch.no_grad():
            watched.model(**batch(0, 1, 2))
        watched.model.train()


def left_over(watched: Watched) -> None:
    for _ in range(2):
        watched.backward(0, 1)
        watched.optimizer.step()


def changed_between(watched: Watched) -> None:
    watched.backward(0, 1)
    torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 1e-3)
    watched.backward(2, 3)
    watched.step()


def changed_after(watched: Watched) -> None:
    for _ in range(2):
        watched.backward(0, 1)
        watched.optimizer.step()
        torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 1e-3)
        watched.optimizer.zero_grad()


def zeroed_in_place(watched: Watched) -> None:
    """As `zero_grad` did by default in older versions of torch: no fault."""
    for _ in range(2):
        watched.backward(0, 1)
        watched.optimizer.step()
        watched.optimizer.zero_grad(set_to_none=False)


def weights_moved(watched: Watched) -> None:
    for _ in range(2):
        watched.backward(0, 1)
        watched.step()
        with torch.no_grad():
            watched.model.head.bias.add_(1e-3)


def trained_without_dropout(watched: Watched) -> None:
    watched.backward(0, 1)
    watched.step()
    watched.model.eval()
    watched.backward(0, 1)
    watched.step()


def evaluated_with_dropout(watched: Watched) -> None:
    watched.backward(0, 1)
    watched.step()
    with torch.no_grad():
        watched.model(**batch(0, 1, 2))


@pytest.mark.parametrize(
    ("loop", "what", "step"),
    [
        (left_over, "gradients_left_over", 2),
        (changed_between, "gradients_changed_between_backwards", 1),
        (changed_after, "gradients_changed_after_update", 1),
        (weights_moved, "weights_changed_outside_update", 1),
        (trained_without_dropout, "trained_in_evaluation_mode", 2),
        (evaluated_with_dropout, "evaluated_in_training_mode", 1),
    ],
)
def test_what_no_loop_should_do_is_observed_at_its_step(
    loop: Callable[[Watched], None], what: str, step: int, tmp_path: Path
) -> None:
    """Once for each kind, and nothing else beside it."""
    watched = Watched(tmp_path)
    loop(watched)
    assert {what: step} == {
        name: seen[0].step for name, seen in watched.record().header.observed.items()
    }


@pytest.mark.parametrize("loop", [sound, zeroed_in_place])
def test_a_sound_loop_leaves_no_observation(
    loop: Callable[[Watched], None], tmp_path: Path
) -> None:
    """The control: accumulation, clipping, evaluation and zeroing are as they should be."""
    watched = Watched(tmp_path)
    loop(watched)
    assert {} == watched.record().header.observed


def test_the_norm_after_a_change_is_kept(tmp_path: Path) -> None:
    """By hand: clipped to a thousandth, that is their norm."""
    watched = Watched(tmp_path)
    changed_between(watched)
    (seen,) = watched.record().header.observed["gradients_changed_between_backwards"]
    assert isinstance(seen, Observation)
    assert pytest.approx(1e-3, rel=1e-3) == seen.value


def test_norms_are_those_of_the_raw_gradient_and_of_the_one_applied(tmp_path: Path) -> None:
    """By hand: after clipping to c the norms of all tensors make c."""
    watched = Watched(tmp_path)
    watched.backward(0, 1)
    raw = [float(torch.linalg.vector_norm(gradient)) for gradient in gradients(watched)]
    torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 1e-3)
    watched.step()
    rows = [row for row in watched.record().norms.to_pylist() if row["step"] == 1]
    assert raw == pytest.approx([row["gradient"] for row in rows], rel=1e-6)
    assert math.hypot(*(row["applied"] for row in rows)) == pytest.approx(1e-3, rel=1e-3)


def test_the_circumstances_of_each_micro_batch_are_told(tmp_path: Path) -> None:
    """Its shape and labels, in which mode and type it ran, and the passes before it."""
    watched = Watched(tmp_path)
    sound(watched)
    rows = watched.record().circumstances.to_pylist()
    assert [(1, 1, 0), (1, 2, 0), (2, 1, 1), (2, 2, 0)] == [
        (row["step"], row["micro_batch"], row["passes_before"]) for row in rows
    ]
    assert {(True, "float32", 2, 2)} == {
        (row["training"], row["compute_dtype"], row["labels"], row["targets"]) for row in rows
    }
    assert [[2, 3]] * 4 == [row["shape"] for row in rows]
