"""Faults that people reported or made, and that the table of causes once named wrongly.

Several resemble a row of the table. Where another setting is the answer, no cause is named.
"""

from __future__ import annotations

from tests.faults.fault import Fault, Ground
from tests.faults.planted_known import (
    COURSE,
    DECAYED,
    DRAWING,
    EVALUATED,
    RESUMED,
    TWO,
    UNCLIPPED_SGD,
)
from tests.faults.planted_known_later import GLOBAL, TWO_A_WINDOW_SGD

__all__ = ["CASES"]

BEFORE_THE_END = Ground("evaluated-often", {"eval_every": 3, "eval_rows": 12})

CASES = (
    Fault("attention_mask_dropped", COURSE, 1, "batch_content", None),
    Fault("parameter_tied", COURSE, 0, "initial_weights", None),
    Fault("optimizer_rebuilt", COURSE, 7, "weights", None),
    Fault("embeddings_frozen_later", COURSE, 5, "gradients", None),
    Fault("goes_backward_twice", COURSE, 1, "gradients", None),
    Fault("large_losses_skipped", COURSE, 5, "data_order", None),
    Fault("validates_with_gradients", COURSE, 3, "rng", None),
    Fault("adam_with_l2", DECAYED, 1, "weights", None),
    Fault("nadam", COURSE, 1, "weights", None),
    Fault("constant_schedule_stepped", COURSE, 2, "learning_rate", None),
    Fault("head_in_second_optimizer", COURSE, 2, "learning_rate", None),
    Fault("evaluates_the_training_set", EVALUATED, 3, "evaluation", None),
    Fault("clips_before_backward", COURSE, 1, "weights", "clip-without-gradients"),
    Fault("loss_added_twice", UNCLIPPED_SGD, 1, "loss", None),
    Fault("loss_added_twice", TWO_A_WINDOW_SGD, 1, "loss", "loss-scaled"),
    Fault("loss_added_twice", TWO, 1, "loss", "loss-scaled"),
    Fault("pass_before_training", COURSE, 1, "rng", "numbers-drawn-before-training"),
    Fault("peeks_at_a_batch", GLOBAL, 1, "data_order", "numbers-drawn-before-training"),
    Fault("collates_in_workers", DRAWING, 1, "batch_content", "collator-draws-in-workers"),
    Fault("rate_by_subtraction", COURSE, 6, "learning_rate", "schedule-rounding"),
    Fault("stops_by_itself", COURSE, 9, "step_count", "ends-early"),
    Fault("best_weights_loaded", BEFORE_THE_END, 12, "weights", "earlier-weights-loaded"),
    Fault("resume_forgets_optimizer", RESUMED, 5, "weights", "resume-without-optimizer"),
    Fault("resume_restarts_schedule", RESUMED, 5, "learning_rate", "resume-without-schedule"),
)
