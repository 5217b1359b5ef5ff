"""Faults written after the table to provoke false causes; most have no row that explains them."""

from __future__ import annotations

from tests.faults.fault import Fault, Ground
from tests.faults.planted_known import COURSE, DRAWING, EVALUATED, LANGUAGE, SGD, STEPS, TWO_SGD
from tests.faults.planted_known_later import (
    COSINE_SGD,
    FOUR_SMALL,
    GLOBAL,
    SMALL_SGD,
    THREE_SGD,
    WARM_PAIRS,
)

__all__ = ["UNKNOWN_LATER"]

SUMMED = Ground(
    "2-of-8",
    {
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "gradient_accumulation_steps": 2,
        "max_grad_norm": None,
    },
)
ALL_DECAYED = Ground("all-decayed", {"weight_decay": 0.01, "decay_exclusions": "none"})

UNKNOWN_LATER = (
    Fault("divided_twice", THREE_SGD, 1, "loss", None),
    Fault("loss_shared_among_ranks", TWO_SGD, 1, "loss", None),
    Fault("sums_over_rows", SUMMED, 1, "loss", None),
    Fault("clips_at_half", SGD, 1, "weights", "clip-norm-differs"),
    Fault("zeroes_before_step", SGD, 1, "weights", None),
    Fault("cosine_with_a_floor", COSINE_SGD, 2, "learning_rate", None),
    Fault("linear_lr_of_torch", COURSE, 3, "learning_rate", "schedule-rounding"),
    Fault("looks_ahead", COURSE, 3, "weights", None),
    Fault("order_reversed", COURSE, 1, "data_order", None),
    Fault("shortest_first", SMALL_SGD, 1, "data_order", None),
    Fault("draws_a_number", GLOBAL, 5, "rng", None),
    Fault("draws_before_first_pass", DRAWING, 1, "rng", None),
    Fault("another_seed", GLOBAL, 1, "data_order", None),
    Fault("one_dropout_off", COURSE, 1, "loss", None),
    Fault("untied_head", LANGUAGE, 0, "initial_weights", None),
    Fault("half_a_window", FOUR_SMALL, 1, "data_order", None),
    Fault("decays_twice_as_much", ALL_DECAYED, 1, "weights", None),
    Fault("frozen_for_one_step", COURSE, 5, "gradients", None),
    Fault("evaluates_in_other_batches", EVALUATED, 3, "evaluation", None),
    Fault("perturbed_between_epochs", SGD, 6, "weights", None),
    Fault("first_batch_skipped", STEPS, 1, "data_order", None),
    Fault("gradients_halved_not_zeroed", SGD, 2, "gradients", None),
    Fault("draws_after_evaluation", EVALUATED, 4, "rng", None),
    Fault("head_drawn_wider", COURSE, 0, "initial_weights", None),
    Fault("schedule_once_an_epoch", COURSE, 2, "learning_rate", None),
    Fault("without_a_loader", COURSE, 1, "rng", None),
    Fault("order_rotated", COURSE, 1, "data_order", None),
    Fault("blocks_shuffled", COURSE, 1, "data_order", None),
    Fault("gradients_doubled_by_hook", SUMMED, 1, "gradients", None),
    Fault("warms_up_longer", WARM_PAIRS, 2, "learning_rate", None),
    Fault("schedule_of_three_runs", SUMMED, 2, "learning_rate", None),
    Fault("loses_gradients_of_first_half", FOUR_SMALL, 1, "gradients", None),
    Fault("pads_left", SMALL_SGD, 1, "batch_content", None),
)
