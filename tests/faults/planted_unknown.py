"""Faults that no row of the table explains; some resemble a row."""

from __future__ import annotations

from tests.faults.fault import Fault, Ground
from tests.faults.planted_known import COURSE, FOUR_SGD, SGD, TWO, UNCLIPPED_SGD

__all__ = ["UNKNOWN"]

WHOLE_BATCHES = Ground("whole-batches", {"drop_last": True, "eval_every": 3, "eval_batch_size": 8})

UNKNOWN = (
    Fault("one_ulp_in_one_weight", COURSE, 4, "weights", None),
    Fault("one_ulp_on_rank_1", TWO, 3, "weights", None),
    Fault("gradient_scaled_in_one_tensor", COURSE, 2, "weights", None),
    Fault("betas_swapped", COURSE, 1, "weights", None),
    Fault("wrong_eps", COURSE, 1, "weights", None),
    Fault("amsgrad", COURSE, 1, "optimizer_state", None),
    Fault("nesterov", SGD, 1, "weights", None),
    Fault("dampened", SGD, 2, "weights", None),
    Fault("head_at_half_rate", COURSE, 1, "learning_rate", None),
    Fault("rate_a_tenth_lower", SGD, 1, "learning_rate", None),
    Fault("rate_halved_from_second_epoch", COURSE, 7, "learning_rate", None),
    Fault("warms_up", COURSE, 1, "learning_rate", None),
    Fault("cosine_for_linear", COURSE, 2, "learning_rate", None),
    Fault("label_flipped", COURSE, 3, "batch_content", None),
    Fault("token_replaced", COURSE, 3, "batch_content", None),
    Fault("rows_sorted_in_batch", COURSE, 1, "data_order", None),
    Fault("embedding_noise", COURSE, 1, "loss", None),
    Fault("dropout_doubled", COURSE, 1, "loss", None),
    Fault("other_layer_norm_eps", COURSE, 1, "loss", None),
    Fault("label_smoothing_left_on", COURSE, 1, "loss", None),
    Fault("logits_cooled", SGD, 1, "loss", None),
    Fault("classes_weighted", COURSE, 1, "loss", None),
    Fault("loss_doubled", UNCLIPPED_SGD, 1, "loss", None),
    Fault("loss_doubled", FOUR_SGD, 1, "loss", None, "the same, with 4 batches a window"),
    Fault("gradient_centralised", COURSE, 1, "weights", None),
    Fault("gradient_noise", SGD, 1, "weights", None),
    Fault("bias_gradient_negated", COURSE, 2, "weights", None),
    Fault("gradients_clipped_by_value", SGD, 1, "weights", None),
    Fault("momentum_reset", COURSE, 7, "weights", None),
    Fault("momentum_reset", SGD, 7, "weights", None),
    Fault("averaged_weights_used", COURSE, 6, "weights", None),
    Fault("weights_rounded_at_random", COURSE, 1, "weights", None),
    Fault("steps_twice", COURSE, 8, "data_order", None),
    Fault("draws_a_number", COURSE, 5, "rng", None),
    Fault("batches_swapped", COURSE, 2, "data_order", None),
    Fault("rate_times_processes", TWO, 1, "learning_rate", None),
    Fault("embeddings_decayed", COURSE, 1, "weights", None),
    Fault("clips_by_largest", SGD, 1, "weights", None),
    Fault("stock_trainer_drops_evaluation_rows", WHOLE_BATCHES, 3, "evaluation", None),
)
