"""Faults with a cause from the table, written after it, as another programmer would write them."""

from __future__ import annotations

from tests.faults.fault import Fault, Ground
from tests.faults.planted_known import BF16, COURSE, SGD, STEPS

__all__ = ["KNOWN_LATER", "TWO_AT_ONCE"]

_SGD = {"optimizer": "sgd", "learning_rate": 0.05}

SMALL = Ground("small", {"per_device_batch_size": 4})
LARGE = Ground("large", {**_SGD, "per_device_batch_size": 16})
GLOBAL = Ground("global", {"sampler": "global"})
DRAWING_SMALL = Ground("drawing-small", {"extra_padding": 5, "per_device_batch_size": 4})
SMALL_SGD = Ground("small-sgd", {**_SGD, "per_device_batch_size": 4})
LARGE_DROPPING = Ground("large-dropping", {"per_device_batch_size": 16, "drop_last": True})
FOUR_FIVES = Ground("4-fives", {"gradient_accumulation_steps": 4, "per_device_batch_size": 5})
FOUR_SMALL = Ground("4-small", {"gradient_accumulation_steps": 4, "per_device_batch_size": 4})
FOUR_FIVE_STEPS = Ground(
    "4-small-5-steps",
    {
        "gradient_accumulation_steps": 4,
        "per_device_batch_size": 4,
        "max_steps": 5,
        "lr_schedule": "constant",
    },
)
THREE_SGD = Ground("3-sgd", {**_SGD, "gradient_accumulation_steps": 3, "max_grad_norm": None})
TWO_A_WINDOW_SGD = Ground(
    "2-a-window-sgd", {**_SGD, "gradient_accumulation_steps": 2, "max_grad_norm": None}
)
PAIRS_SGD = Ground("2-clipped-sgd", {**_SGD, "gradient_accumulation_steps": 2})
COSINE_SGD = Ground("cosine-sgd", {**_SGD, "lr_schedule": "cosine"})
COSINE_PAIRS = Ground(
    "cosine-2", {**_SGD, "lr_schedule": "cosine", "gradient_accumulation_steps": 2}
)
WARM = Ground("warm", {"warmup_steps": 2})
WARM_PAIRS = Ground("warm-2", {"warmup_steps": 2, "gradient_accumulation_steps": 2})
DECAYED_LESS = Ground("decayed-sgd", {**_SGD, "weight_decay": 0.05})
DECAYED_COURSE = Ground("decayed-course", {"weight_decay": 0.1})
TIGHT_PAIRS = Ground("tight-2", {"gradient_accumulation_steps": 2, "max_grad_norm": 0.1})
TIGHT_SGD = Ground("tight-sgd", {**_SGD, "gradient_accumulation_steps": 2, "max_grad_norm": 0.5})
BY_FIVES = Ground("evaluated-by-5", {"eval_every": 4, "eval_batch_size": 5})
TAGS = Ground(
    "tags", {"train_rows": 32, "eval_rows": 8, "num_epochs": 1}, workload="token_classification"
)
PADDED = Ground(
    "padded-language",
    {
        **_SGD,
        "train_rows": 24,
        "eval_rows": 4,
        "max_length": 32,
        "num_epochs": 1,
        "packing": False,
        "per_device_batch_size": 4,
    },
    workload="causal_lm",
)
TWO_SMALL = Ground("two-small", {"per_device_batch_size": 4}, world_size=2)
TWO_COSINE = Ground(
    "two-cosine", {"per_device_batch_size": 4, "lr_schedule": "cosine"}, world_size=2
)
TWO_THREES = Ground(
    "two-3-a-window",
    {**_SGD, "per_device_batch_size": 2, "gradient_accumulation_steps": 3},
    world_size=2,
)

# The reference has the fault.
BY_NUMPY = Ground("by-numpy", reference="permuted_by_numpy")
STOCK_PAIRS = Ground("stock-2", {"gradient_accumulation_steps": 2}, reference="stock_trainer")
UNDIVIDED = Ground(
    "undivided",
    {"gradient_accumulation_steps": 2, "per_device_batch_size": 5},
    reference="forgot_to_divide",
)
MODE_LOST = Ground("mode-lost", {"eval_every": 2}, reference="train_mode_lost_at_evaluation")
LONG_COSINE = Ground(
    "long-cosine",
    {"lr_schedule": "cosine", "gradient_accumulation_steps": 2},
    reference="length_of_all_batches",
)
FLAVOURED = Ground("flavoured", {"weight_decay": 0.1}, reference="torch_default_flavour")
SEEDED_AGAIN = Ground("seeded-again", {"reseed_after_build": False}, reference="sets_seed_again")
HEAD_COPIED = Ground(
    "head-copied",
    {**_SGD, "gradient_accumulation_steps": 2},
    reference="head_replaced_after_optimizer",
)
DROPPING_OUT = Ground("dropping-out", {**_SGD, "eval_every": 4}, reference="never_in_eval_mode")
UNCLIPPED_SMALL = Ground(
    "unclipped-small",
    {**_SGD, "max_grad_norm": None, "per_device_batch_size": 4},
    reference="accelerated",
)
BF16_PAIRS = Ground("bf16-2", {"precision": "bf16", "gradient_accumulation_steps": 2})
TRAINED = Ground("trained", reference="trainer")

_FIRST = "the fault is the reference's"
KNOWN_LATER = (
    Fault("shuffled_by_own_generator", LARGE, 1, "data_order", "sampler-differs"),
    Fault("sampled_by_subset", SMALL, 1, "data_order", "sampler-differs"),
    Fault("accelerated", BY_NUMPY, 1, "data_order", "sampler-differs", "the reference asks NumPy"),
    Fault("forgot_to_shuffle", LARGE, 1, "data_order", "not-shuffled"),
    Fault("generator_runs_on", COURSE, 7, "data_order", "sampler-differs"),
    Fault("trainer_own_loss", TWO_A_WINDOW_SGD, 1, "loss", "accumulation-not-averaged"),
    Fault("plain", STOCK_PAIRS, 1, "loss", "accumulation-not-averaged", _FIRST),
    Fault("forgot_to_divide", THREE_SGD, 1, "loss", "loss-scaled"),
    Fault("trainer", UNDIVIDED, 1, "loss", "loss-scaled", _FIRST),
    Fault("forgot_to_divide", BF16_PAIRS, 1, "loss", "loss-scaled"),
    Fault("short_window_over_k", FOUR_FIVES, 3, "loss", "last-window"),
    Fault("short_window_lost", FOUR_SMALL, 2, "learning_rate", "last-window"),
    Fault("short_window_lost", FOUR_FIVE_STEPS, 3, "data_order", "last-window"),
    Fault("rest_left_in_gradients", FOUR_FIVE_STEPS, 3, "data_order", "accumulation-leaks"),
    Fault("zeroes_once_an_epoch", PAIRS_SGD, 2, "gradients", "forgot-zero-grad"),
    Fault("accelerate_never_zeroes", SMALL, 2, "gradients", "forgot-zero-grad"),
    Fault("stays_in_eval_mode", LARGE, 1, "loss", "forgot-train-mode"),
    Fault("accelerated", MODE_LOST, 3, "loss", "forgot-train-mode", _FIRST),
    Fault("scheduler_before_optimizer", COSINE_SGD, 1, "learning_rate", "schedule-off-by-one"),
    Fault("scheduler_never_called", WARM, 2, "learning_rate", "schedule-never-steps"),
    Fault("scheduler_in_inner_loop", COSINE_PAIRS, 1, "learning_rate", "schedule-in-micro-steps"),
    Fault("length_of_all_batches", WARM_PAIRS, 4, "learning_rate", "schedule-in-micro-steps"),
    Fault("trainer", LONG_COSINE, 2, "learning_rate", "schedule-in-micro-steps", _FIRST),
    Fault("prepares_everything", TWO_COSINE, 2, "learning_rate", "scheduler-steps-per-process"),
    Fault("trainer", FLAVOURED, 1, "weights", "optimizer-flavour", _FIRST),
    Fault("trainer_clips_by_default", UNCLIPPED_SMALL, 1, "weights", "hidden-clip"),
    Fault("torch_default_decay", DECAYED_COURSE, 1, "weights", "weight-decay-default"),
    Fault("norms_decayed_by_misspelling", DECAYED_LESS, 1, "weights", "bias-and-norm-decayed"),
    Fault("head_from_another_seed", TAGS, 0, "initial_weights", "head-drawn-before-seed"),
    Fault("accelerated", SEEDED_AGAIN, 1, "rng", "reseeded-after-build", _FIRST),
    Fault("scores_each_epoch", GLOBAL, 7, "data_order", "eval-consumes-rng"),
    Fault("scores_each_epoch", SGD, 7, "rng", "eval-consumes-rng"),
    Fault("fetches_two_ahead", DRAWING_SMALL, 1, "rng", "prefetch-interleaves-rng"),
    Fault("weighted_rows", SMALL_SGD, 1, "data_order", "sample-repeated"),
    Fault("order_drawn_once", LARGE_DROPPING, 3, "data_order", "same-order-every-epoch"),
    Fault("skips_small_batches", STEPS, 6, "data_order", "last-batch-dropped"),
    Fault(
        "accelerated", HEAD_COPIED, 1, "weights", "optimizer-holds-old-parameters",
        "the optimizer of the reference has another head than its model",
    ),
    Fault("layer_frozen", TRAINED, 1, "gradients", "parameter-frozen"),
    Fault("each_rank_shuffles_all", TWO_SMALL, 1, "data_order", "unsharded-data"),
    Fault("clips_too_late", TIGHT_SGD, 1, "weights", "clip-after-step"),
    Fault("accelerate_clips_each_backward", TIGHT_PAIRS, 1, "gradients", "clip-per-micro-batch"),
    Fault("logs_running_mean", SMALL_SGD, 2, "loss", "wrong-loss-logged"),
    Fault("nan_to_zero", COURSE, 2, "loss", "nan-step-hidden"),
    Fault("evaluation_loss_by_batches", BY_FIVES, 4, "evaluation", "mean-of-batch-means"),
    Fault("plain", DROPPING_OUT, 4, "evaluation", "forgot-eval-mode", _FIRST),
    Fault("accelerator_without_precision", BF16, 1, "loss", "autocast-without-effect"),
    Fault("divides_by_all_labels", PADDED, 1, "loss", "unshifted-label-count"),
    Fault("loss_times_ranks", TWO_THREES, 1, "loss", "loss-scaled"),
)  # fmt: skip

TWO_AT_ONCE = (
    Fault(
        "decay_and_no_clip", COURSE, 1, "weights", "weight-decay-default", also=("hidden-clip",)
    ),
    Fault(
        "other_order_and_flavour", SMALL, 1, "data_order", "sampler-differs",
        also=("optimizer-flavour",),
    ),
    Fault(
        "unshuffled_and_unzeroed", SGD, 1, "data_order", "not-shuffled",
        also=("forgot-zero-grad",),
    ),
    Fault(
        "frozen_and_ahead", COURSE, 1, "gradients", "parameter-frozen",
        also=("schedule-off-by-one",),
    ),
)  # fmt: skip
