"""Faults with a cause from the table; each cause of the table occurs at least once."""

from __future__ import annotations

from tests.faults.fault import Fault, Ground

__all__ = ["KNOWN"]

_SGD = {"optimizer": "sgd", "learning_rate": 0.05}

COURSE = Ground("course")
SGD = Ground("sgd", _SGD)
STEPS = Ground("8-steps", {"max_steps": 8})
UNCLIPPED = Ground("unclipped", {"max_grad_norm": None})
UNCLIPPED_SGD = Ground("unclipped-sgd", {**_SGD, "max_grad_norm": None})
DECAYED = Ground("decayed", {"weight_decay": 0.1})
UNSEEDED = Ground("unseeded", {"reseed_after_build": False})
THREE = Ground("3-a-window", {"gradient_accumulation_steps": 3})
FOUR = Ground("4-a-window", {"gradient_accumulation_steps": 4})
FOUR_SGD = Ground("4-a-window-sgd", {**_SGD, "gradient_accumulation_steps": 4})
TIGHT = Ground("tight", {"gradient_accumulation_steps": 2, "max_grad_norm": 0.05})
SCALED = Ground("scaled", {"optimizer_flavour": "for_loop"}, reference="scales_its_loss")
EVALUATED = Ground("evaluated", {"eval_every": 3})
BF16 = Ground("bf16", {"precision": "bf16"})
BF16_FAST = Ground("bf16-fast", {"precision": "bf16", "learning_rate": 1e-3})
SLOW = Ground("slow", {"learning_rate": 1e-6})
DRAWING = Ground("drawing", {"extra_padding": 5})
TWO = Ground("two", world_size=2)
TWO_SGD = Ground("two-sgd", _SGD, world_size=2)
TWO_WINDOWS = Ground("two-windows", {"gradient_accumulation_steps": 2}, world_size=2)
TWO_STRIDED = Ground("two-strided", {"sharding": "strided"}, world_size=2)
TWO_EVALUATED = Ground("two-evaluated", {"eval_every": 3, "eval_rows": 11}, world_size=2)
TWO_STREAMS = Ground("two-streams", world_size=2, reference="seeds_by_rank")
RESUMED = Ground("resumed", reference=None, resume_at=4)
RESUMED_AT_END = Ground("resumed-at-end", reference=None, resume_at=6)
RESUMED_GLOBAL = Ground("resumed-global", {"sampler": "global"}, reference=None, resume_at=8)
RESUMED_GROUPED = Ground(
    "resumed-grouped", {"sampler": "length_grouped"}, reference=None, resume_at=8
)
_FEW = {"train_rows": 24, "eval_rows": 4, "max_length": 32, "num_epochs": 1}
LANGUAGE = Ground("language", _FEW, workload="causal_lm")
LANGUAGE_SGD = Ground("language-sgd", {**_FEW, **_SGD}, workload="causal_lm")
DOCUMENTED = Ground("documented", reference="accelerate_documented")

LIBRARIES = (
    Fault(
        "stock_trainer", THREE, 1, "loss", "accumulation-not-averaged",
        "the Trainer leaves the division by the window to a model that ignores it",
    ),
    Fault(
        "stock_trainer", FOUR, 1, "loss", "accumulation-not-averaged",
        "the same, with a short window at the end of each epoch",
    ),
    Fault(
        "stock_trainer", TWO, 1, "loss", "loss-times-world-size",
        "the Trainer multiplies a loss by the processes that its model did not divide",
    ),
    Fault("loss_times_processes", TWO_SGD, 1, "loss", "loss-scaled"),
    Fault(
        "stock_trainer", LANGUAGE, 1, "loss", "unshifted-label-count",
        "the Trainer counts all labels of a model whose loss leaves out the first",
    ),
    Fault("counts_unshifted_labels", LANGUAGE_SGD, 1, "loss", "unshifted-label-count"),
    Fault("accelerate_prepared_scheduler", TWO, 2, "learning_rate", "scheduler-steps-per-process"),
    Fault("sampler_of_torch", COURSE, 1, "data_order", "sampler-differs"),
    Fault("sampler_of_accelerate", COURSE, 1, "data_order", "sampler-differs"),
    Fault("optimizer_for_loop", COURSE, 1, "weights", "optimizer-flavour"),
    Fault("optimizer_foreach", DECAYED, 1, "weights", "optimizer-flavour"),
    Fault("clips_unasked", UNCLIPPED, 1, "weights", "hidden-clip"),
    Fault("clips_unasked", UNCLIPPED_SGD, 1, "weights", "hidden-clip"),
    Fault("never_clips", SGD, 1, "weights", "hidden-clip"),
    Fault("decays_by_default", COURSE, 1, "weights", "weight-decay-default"),
    Fault("decays_by_default", SGD, 1, "weights", None, "SGD decays every parameter by 0.01"),
    Fault("head_drawn_before_seed", COURSE, 0, "initial_weights", "head-drawn-before-seed"),
    Fault("seeds_again", UNSEEDED, 1, "rng", "reseeded-after-build"),
    Fault(
        "stock_trainer", UNSEEDED, 1, "rng", "reseeded-after-build",
        "the Trainer sets the seed in its constructor, once more",
    ),
    Fault("evaluates_unseen", COURSE, 4, "rng", "eval-consumes-rng"),
    Fault("evaluation_leaves_generator", EVALUATED, 4, "rng", "eval-consumes-rng"),
    Fault("divides_short_window", FOUR, 2, "loss", "last-window"),
    Fault("divides_short_window", FOUR_SGD, 2, "loss", "last-window"),
    Fault("divides_short_window_accelerate", FOUR, 2, "loss", "last-window"),
    Fault("last_window_dropped", FOUR, 2, "data_order", "last-window"),
    Fault("window_across_epochs", FOUR, 2, "data_order", "last-window"),
    Fault(
        "schedule_length_in_micro_batches", THREE, 2, "learning_rate", "schedule-in-micro-steps"
    ),
    Fault("schedule_steps_each_micro_batch", THREE, 2, "learning_rate", "schedule-in-micro-steps"),
    Fault("clips_each_micro_batch", TIGHT, 1, "gradients", "clip-per-micro-batch"),
    Fault("clips_before_unscale", SCALED, 1, "weights", "clip-before-unscale"),
    Fault("rows_padded_in_evaluation", TWO_EVALUATED, 3, "evaluation", "eval-duplicates"),
    Fault("metrics_averaged_over_batches", EVALUATED, 3, "evaluation", "mean-of-batch-means"),
    Fault("resume_reshuffles", RESUMED, 5, "data_order", "resume-reorders"),
    Fault("resume_begins_epoch_again", RESUMED, 5, "data_order", "resume-reorders"),
    Fault(
        "trainer", RESUMED_GLOBAL, 9, "data_order", "resume-reorders",
        "the Trainer does not keep where the generator stood at the epoch's start",
    ),
    Fault(
        "trainer", RESUMED_GROUPED, 9, "data_order", "resume-reorders",
        "the same, with rows grouped by length",
    ),
    Fault("resume_forgets_generators", RESUMED, 5, "rng", "resume-generators"),
    Fault("resume_restores_late", RESUMED_AT_END, 7, "rng", "resume-generators"),
    Fault(
        "accelerate_documented", DOCUMENTED, 0, "config", "environment-wins",
        "a variable sets the micro-batches of a window",
        {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "2"},
    ),
    Fault(
        "accelerate_documented", DOCUMENTED, 0, "config", "environment-wins",
        "a variable sets the precision", {"ACCELERATE_MIXED_PRECISION": "bf16"},
    ),
    Fault("checkpoint_dtype", BF16_FAST, 0, "config", "dtype-auto"),
    Fault("pads_to_multiple", COURSE, 1, "batch_content", "padding-differs"),
    Fault("pads_to_max_length", SGD, 1, "batch_content", "padding-differs"),
    # Several losses a window: on some processors the first one rounds alike by both kernels.
    Fault("eager_attention", FOUR, 1, "loss", "attention-kernel"),
    Fault("two_threads", COURSE, 1, "gradients", "thread-count"),
    Fault("fetches_ahead", DRAWING, 1, "rng", "prefetch-interleaves-rng"),
    Fault(
        "accelerated", DRAWING, 1, "rng", "prefetch-interleaves-rng",
        "Accelerate fetches one batch ahead, so its collator draws before the dropout",
    ),
)  # fmt: skip

BY_HAND = (
    Fault("forgot_zero_grad", COURSE, 2, "gradients", "forgot-zero-grad"),
    Fault("forgot_zero_grad", SGD, 2, "gradients", "forgot-zero-grad"),
    Fault("forgot_train_mode", COURSE, 1, "loss", "forgot-train-mode"),
    Fault("forgot_train_after_evaluation", EVALUATED, 4, "loss", "forgot-train-mode"),
    Fault("evaluates_in_training_mode", EVALUATED, 3, "evaluation", "forgot-eval-mode"),
    Fault("schedule_off_by_one", COURSE, 1, "learning_rate", "schedule-off-by-one"),
    Fault("schedule_off_by_one", SGD, 1, "learning_rate", "schedule-off-by-one"),
    Fault("schedule_never_steps", COURSE, 2, "learning_rate", "schedule-never-steps"),
    Fault("last_batch_dropped", STEPS, 6, "data_order", "last-batch-dropped"),
    Fault(
        "last_batch_dropped", COURSE, 2, "learning_rate", "last-batch-dropped",
        "the same, where the schedule is as long as there are batches",
    ),
    Fault("sample_repeated", COURSE, 3, "data_order", "sample-repeated"),
    Fault("sampled_with_replacement", COURSE, 1, "data_order", "sample-repeated"),
    Fault("same_order_every_epoch", COURSE, 7, "data_order", "same-order-every-epoch"),
    Fault("forgot_set_epoch", TWO_STRIDED, 4, "data_order", "same-order-every-epoch"),
    Fault("labels_shifted_by_user", LANGUAGE, 1, "batch_content", "labels-shifted-twice"),
    Fault("loss_shifted_twice", LANGUAGE_SGD, 1, "loss", "labels-shifted-twice"),
    Fault("optimizer_built_before_head", COURSE, 1, "weights", "optimizer-holds-old-parameters"),
    Fault("optimizer_of_a_copy", SGD, 1, "weights", "optimizer-holds-old-parameters"),
    Fault("embeddings_frozen", COURSE, 1, "gradients", "parameter-frozen"),
    Fault("head_not_in_optimizer", SGD, 1, "weights", "parameter-frozen"),
    Fault("decays_bias_and_norm", DECAYED, 1, "weights", "bias-and-norm-decayed"),
    Fault("no_sync_at_last_micro_batch", TWO_WINDOWS, 1, "gradients", "no-sync-misplaced"),
    Fault("never_synchronises", TWO, 1, "gradients", "no-sync-misplaced"),
    Fault("unsharded_data", TWO, 1, "data_order", "unsharded-data"),
    Fault(
        "plain", TWO_STREAMS, 1, "rng", "same-dropout-on-all-ranks",
        "every process has the seed of all, where the reference adds its rank",
    ),
    Fault("clips_after_step", SGD, 1, "weights", "clip-after-step"),
    Fault("rest_of_epoch_leaks", FOUR, 2, "data_order", "accumulation-leaks"),
    Fault("rest_of_epoch_leaks", FOUR_SGD, 2, "data_order", "accumulation-leaks"),
    Fault("loss_not_divided", FOUR_SGD, 1, "loss", "loss-scaled"),
    Fault("logs_last_loss", THREE, 1, "loss", "wrong-loss-logged"),
    Fault("logs_sum_of_losses", THREE, 1, "loss", "wrong-loss-logged"),
    Fault("hides_nan", COURSE, 3, "loss", "nan-step-hidden"),
    Fault("autocast_of_another_device", BF16, 1, "loss", "autocast-without-effect"),
    Fault("bf16_weights", SLOW, 0, "config", "bf16-weights-lose-updates"),
)  # fmt: skip

KNOWN = LIBRARIES + BY_HAND
