"""What surrounds the values is observed: who changed gradients or weights, in which mode, and when.

Each test has its control: a loop that does nothing of the kind leaves no observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.results.record import Observation
from harness.training.evaluation import Scores
from tests.support.watched_model import Watched, batch

# These observations are not faults by themselves.
NO_FAULT = {"loss_scaled", "generator_kept_over_evaluation"}


def observed(watched: Watched) -> dict[str, int]:
    """The first step of each other kind of observation."""
    found = watched.record().header.observed.items()
    return {name: seen[0].step for name, seen in found if name not in NO_FAULT}


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


def zeroed_between(watched: Watched) -> None:
    watched.backward(0, 1)
    watched.optimizer.zero_grad()
    watched.backward(2, 3)
    watched.step()


def changed_and_zeroed_in_place(watched: Watched) -> None:
    for _ in range(2):
        watched.backward(0, 1)
        watched.optimizer.step()
        torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 1e-3)
        watched.optimizer.zero_grad(set_to_none=False)


def zeroed_in_place(watched: Watched) -> None:
    """As `zero_grad` does by default in older versions of torch; this is no fault."""
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


def clipped_too_early(watched: Watched) -> None:
    for _ in range(2):
        torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 1e-3)
        watched.backward(0, 1)
        watched.step()


@pytest.mark.parametrize(
    ("loop", "what", "step"),
    [
        (clipped_too_early, "clipped_without_gradients", 1),
        (left_over, "gradients_left_over", 2),
        (changed_between, "gradients_changed_between_backwards", 1),
        (changed_after, "gradients_changed_after_update", 1),
        (changed_and_zeroed_in_place, "gradients_changed_before_zeroing", 1),
        (zeroed_between, "gradients_zeroed_between_backwards", 1),
        (weights_moved, "weights_changed_outside_update", 1),
        (trained_without_dropout, "trained_in_evaluation_mode", 2),
        (evaluated_with_dropout, "evaluated_in_training_mode", 1),
    ],
)
def test_a_fault_of_the_loop_is_observed_at_its_step(
    loop: Callable[[Watched], None], what: str, step: int, tmp_path: Path
) -> None:
    """Each kind is observed once, and no other kind."""
    watched = Watched(tmp_path)
    loop(watched)
    assert {what: step} == observed(watched)


@pytest.mark.parametrize(
    ("momentum", "cleared", "expected"), [(0.9, True, [2]), (0.9, False, []), (0.0, True, [])]
)
def test_an_optimizer_that_lost_its_state_is_observed(
    momentum: float, cleared: bool, expected: list[int], tmp_path: Path
) -> None:
    """Controls: one that keeps its state, and one that never has a state."""
    watched = Watched(tmp_path, momentum=momentum)
    for _ in range(2):
        if cleared:
            watched.optimizer.state.clear()
        watched.backward(0, 1)
        watched.step()
    seen = watched.record().header.observed.get("optimizer_without_state", ())
    assert expected == [each.step for each in seen]


@pytest.mark.parametrize("loop", [sound, zeroed_in_place])
def test_a_sound_loop_leaves_no_observation(
    loop: Callable[[Watched], None], tmp_path: Path
) -> None:
    """Control: correct accumulation, clipping, evaluation and zeroing."""
    watched = Watched(tmp_path)
    loop(watched)
    assert {} == observed(watched)


@pytest.mark.parametrize(("factor", "expected"), [(0.5, []), (1.0, [2.0]), (1.5, [3.0])])
def test_the_factor_of_the_losses_of_a_window_is_recorded(
    factor: float, expected: list[float], tmp_path: Path
) -> None:
    """By hand: half of each of two losses is their mean, so nothing is recorded."""
    watched = Watched(tmp_path)
    for rows in ((0, 1), (2, 3)):
        (factor * watched.model(**batch(*rows))["loss"]).backward()
    watched.step()
    seen = watched.record().header.observed.get("loss_scaled", ())
    assert expected == pytest.approx([each.value for each in seen], rel=1e-5)


def test_a_loss_that_is_no_multiple_of_the_tasks_has_no_factor(tmp_path: Path) -> None:
    """Control: an added square changes the direction of the gradient."""
    watched = Watched(tmp_path)
    answer = watched.model(**batch(0, 1))
    (3 * answer["loss"] + answer["logits"].square().sum()).backward()
    watched.step()
    assert "loss_scaled" not in watched.record().header.observed


@pytest.mark.parametrize(("draws", "steps"), [(0, [2]), (1, [])])
def test_an_evaluation_without_draws_is_observed(
    draws: int, steps: list[int], tmp_path: Path
) -> None:
    """An evaluation that draws a number is not."""
    watched = Watched(tmp_path)
    watched.backward(0, 1)
    watched.step()
    watched.model.eval()
    with torch.no_grad():
        watched.model(**batch(0, 1))
    torch.rand(draws)
    watched.model.train()
    watched.backward(0, 1)
    seen = watched.record().header.observed.get("generator_kept_over_evaluation", ())
    assert steps == [each.step for each in seen]


@pytest.mark.parametrize("over_batches", [True, False])
def test_a_mean_over_batches_is_distinguished_from_one_over_rows(
    over_batches: bool, tmp_path: Path
) -> None:
    """Two batches, of three rows and of one row; a mean over the rows is not observed."""
    watched = Watched(tmp_path)
    watched.backward(0, 1)
    watched.step()
    watched.model.eval()
    with torch.no_grad():
        one, two = (float(watched.model(**batch(*rows))["loss"]) for rows in ((0, 1, 2), (3,)))
    loss = (one + two) / 2 if over_batches else (3 * one + two) / 4
    watched.probe.evaluated(Scores(4, {"loss": loss}, frozenset()))
    assert over_batches == ("evaluation_loss_over_batches" in watched.record().header.observed)


def test_the_norm_after_a_change_is_kept(tmp_path: Path) -> None:
    """By hand: after clipping to 0.001 the norm is 0.001."""
    watched = Watched(tmp_path)
    changed_between(watched)
    (seen,) = watched.record().header.observed["gradients_changed_between_backwards"]
    assert isinstance(seen, Observation)
    assert pytest.approx(1e-3, rel=1e-3) == seen.value


def test_norms_are_those_of_the_raw_gradient_and_of_the_one_applied(tmp_path: Path) -> None:
    """By hand: after clipping to c the norm over all tensors is c."""
    watched = Watched(tmp_path)
    watched.backward(0, 1)
    raw = [float(torch.linalg.vector_norm(gradient)) for gradient in gradients(watched)]
    torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 1e-3)
    watched.step()
    rows = [row for row in watched.record().norms.to_pylist() if row["step"] == 1]
    assert raw == pytest.approx([row["gradient"] for row in rows], rel=1e-6)
    assert math.hypot(*(row["applied"] for row in rows)) == pytest.approx(1e-3, rel=1e-3)


def test_the_circumstances_of_each_micro_batch_are_recorded(tmp_path: Path) -> None:
    """Shape and labels, mode and dtype, and the number of forward passes before it."""
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
