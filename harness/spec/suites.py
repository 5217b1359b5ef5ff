"""Named sets of cases for `harness run --suite NAME`.

`matrix` is the width of the recipe, one field or one meeting of fields a case, on few rows so that
each run takes seconds. `agreeing` is what of it has no known difference, so that a build of it that
is red means something. `resume` ends each loop's process in every place that matters and lets
another one go on. A case on which loops are known to differ carries a note that says why.

`noise` are pairs that differ by rounding alone: the first loop by the case's recipe, and by an arm
that changes who computes and not what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.spec.case import Case
from harness.spec.registry import cases, with_settings

__all__ = ["SUITES"]

_PREFETCH = (
    "Accelerate's loader, which the Trainer uses too, fetches one batch ahead. With no worker "
    "processes the collator then draws from the generator of dropout one batch too early. "
    "Measured: the loops part in rng at step 1; with two workers they are identical."
)
_NOT_AVERAGED = (
    "BertForSequenceClassification takes extra arguments for its loss and ignores the number of "
    "labels among them, so the Trainer believes the loss averaged and does not divide it "
    "(transformers 5.23). Measured: the first gradient norm is the number of accumulated "
    "micro-batches times the reference's. Remedy, applied in matched conventions: "
    "model.accepts_loss_kwargs = False before the Trainer is built."
)
_SHORT_WINDOW = (
    "Accelerate divides each loss by gradient_accumulation_steps, also in an epoch's last, shorter "
    "window (accelerate 1.15). Measured: identical until there. Remedy, applied in matched "
    "conventions: set accelerator.gradient_accumulation_steps to the true length for `backward`."
)
_UNSHIFTED = (
    "The Trainer counts labels before the shift where it does not know the model to shift them, "
    "as with GPT2LMHeadModel (transformers 5.23), and the model divides by that count. Measured: "
    "rows of L packed tokens train with (L-1)/L of the gradient. Remedy, applied in matched "
    "conventions: model.accepts_loss_kwargs = False before the Trainer is built."
)

_AUTOCAST_INSIDE = (
    "Accelerate makes autocast a part of the model's forward, which is then compiled along; the "
    "plain loop enters it around the compiled model, as PyTorch's documentation does, and Inductor "
    "rounds the gradients otherwise (torch 2.13). Measured: equal losses and other gradients at "
    "step 1; a plain loop whose model.forward is wrapped in autocast before it is compiled is "
    "identical with the other two."
)
_ORDER_NOT_KEPT = (
    "The Trainer's checkpoint does not hold where the generators stood at the epoch's start, from "
    "which this order was drawn (transformers 5.23). Measured: the Trainer resumed in mid-epoch "
    "draws another order, first at the step after the resume; the plain and the Accelerate loop "
    "keep that state themselves and are identical."
)
_DRAWS_NOT_REPEATED = (
    "skip_first_batches, which Accelerate's documentation and the Trainer resume by, passes over "
    "batches without collating them (accelerate 1.15). Measured: what a drawing collator, or its "
    "worker processes, drew for them is not drawn again, so the first batch after the resume "
    "differs; the plain loop collates them again and is identical. Without workers the loops part "
    "besides by fetching one batch ahead or not."
)

_PARAPHRASE: dict[str, dict[str, Any]] = {
    "course": {},
    "accumulate-2": {"gradient_accumulation_steps": 2},
    "accumulate-3": {"gradient_accumulation_steps": 3},
    "accumulate-4": {"gradient_accumulation_steps": 4},
    "accumulate-8": {"gradient_accumulation_steps": 8},
    "accumulate-4-configured": {"gradient_accumulation_steps": 4, "loss_average": "configured"},
    "accumulate-4-drop-last": {"gradient_accumulation_steps": 4, "drop_last": True},
    "clip-off": {"max_grad_norm": None},
    "clip-bites": {"max_grad_norm": 0.05},
    "clip-bites-accumulate-3": {"max_grad_norm": 0.05, "gradient_accumulation_steps": 3},
    "cosine": {"lr_schedule": "cosine"},
    "constant": {"lr_schedule": "constant"},
    "warmup-steps": {"warmup_steps": 5},
    "warmup-ratio": {"warmup_ratio": 0.25, "lr_schedule": "cosine"},
    "warmup-constant": {"warmup_steps": 5, "lr_schedule": "constant"},
    "decay-groups": {"weight_decay": 0.1},
    "decay-everything": {"weight_decay": 0.1, "decay_exclusions": "none"},
    "adamw-foreach": {"optimizer_flavour": "foreach", "weight_decay": 0.01},
    "adamw-for-loop": {"optimizer_flavour": "for_loop", "weight_decay": 0.01},
    "adamw-other-betas": {"betas": [0.8, 0.95], "eps": 1e-6},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.05},
    "sgd-foreach-accumulate-3": {
        "optimizer": "sgd",
        "optimizer_flavour": "foreach",
        "learning_rate": 0.05,
        "gradient_accumulation_steps": 3,
    },
    "sgd-for-loop-decay": {
        "optimizer": "sgd",
        "optimizer_flavour": "for_loop",
        "learning_rate": 0.05,
        "weight_decay": 0.1,
    },
    "label-smoothing": {"label_smoothing": 0.1},
    "label-smoothing-accumulate-2": {"label_smoothing": 0.1, "gradient_accumulation_steps": 2},
    "drop-last": {"drop_last": True},
    "max-steps-in-mid-epoch": {"max_steps": 16},
    "workers-2": {"num_workers": 2},
    "sequential": {"sampler": "sequential"},
    "global-order": {"sampler": "global"},
    "length-grouped": {"sampler": "length_grouped"},
    "length-grouped-accumulate-2": {
        "sampler": "length_grouped",
        "gradient_accumulation_steps": 2,
    },
    "drawing-collator-workers-2": {"extra_padding": 6, "num_workers": 2},
    "fixed-length": {"padding": "max_length", "max_length": 48},
    "evaluate-every-5": {"eval_every": 5},
    "evaluate-each-epoch": {"eval_every": "epoch"},
    "evaluate-accumulate-workers": {
        "eval_every": 3,
        "gradient_accumulation_steps": 2,
        "num_workers": 2,
    },
    "gradient-checkpointing": {"gradient_checkpointing": True},
    "bf16": {"precision": "bf16"},
    "bf16-accumulate-3-evaluate": {
        "precision": "bf16",
        "gradient_accumulation_steps": 3,
        "eval_every": 4,
    },
    "bf16-label-smoothing": {"precision": "bf16", "label_smoothing": 0.1},
    "separate-data-seed": {"data_seed": 7},
    "frozen-embeddings": {"frozen": "bert.embeddings"},
    "eager-attention": {"attention": "eager"},
    "two-threads": {"num_threads": 2},
    "compiled": {"compile": "inductor"},
    "compiled-two-threads-accumulate-3-evaluate": {
        "compile": "inductor",
        "num_threads": 2,
        "gradient_accumulation_steps": 3,
        "eval_every": 2,
    },
    "compiled-aot-eager-checkpointing": {"compile": "aot_eager", "gradient_checkpointing": True},
    "batch-3": {"per_device_batch_size": 3},
}
_OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2-packed": ("causal_lm", {}),
    "gpt2-padded": ("causal_lm", {"packing": False}),
    "gpt2-padded-accumulate-3": (
        "causal_lm",
        {"packing": False, "gradient_accumulation_steps": 3},
    ),
    "llama-packed": ("causal_lm", {"model": "llama"}),
    "llama-padded-bf16": ("causal_lm", {"model": "llama", "packing": False, "precision": "bf16"}),
    "gpt2-label-smoothing": ("causal_lm", {"label_smoothing": 0.1}),
    "tokens": ("token_classification", {"learning_rate": 2e-3}),
    "tokens-accumulate-3": (
        "token_classification",
        {"learning_rate": 2e-3, "gradient_accumulation_steps": 3},
    ),
    "images": ("vision", {}),
    "images-accumulate-3-sgd": (
        "vision",
        {"gradient_accumulation_steps": 3, "optimizer": "sgd", "learning_rate": 0.05},
    ),
}
# Resumed at that step; an epoch has 11 batches.
_RESUMED: dict[str, tuple[int, str, dict[str, Any], str]] = {
    "mid-epoch": (5, "paraphrase", {}, ""),
    "epoch-end": (11, "paraphrase", {}, ""),
    "second-epoch": (16, "paraphrase", {}, ""),
    "inside-window": (2, "paraphrase", {"gradient_accumulation_steps": 3}, ""),
    "after-short-window": (4, "paraphrase", {"gradient_accumulation_steps": 3}, ""),
    "accumulate-workers-evaluate": (
        4,
        "paraphrase",
        {"gradient_accumulation_steps": 2, "num_workers": 2, "eval_every": 3},
        "",
    ),
    "from-an-earlier-checkpoint": (
        10,
        "paraphrase",
        {"save_every": 4, "warmup_steps": 6, "lr_schedule": "cosine", "eval_every": "epoch"},
        "",
    ),
    "bf16-sgd": (
        7,
        "paraphrase",
        {"precision": "bf16", "optimizer": "sgd", "learning_rate": 0.05},
        "",
    ),
    "compiled": (5, "paraphrase", {"compile": "aot_eager"}, ""),
    "gpt2-padded": (
        5,
        "causal_lm",
        {"packing": False, "gradient_accumulation_steps": 2},
        "",
    ),
    "global-order": (16, "paraphrase", {"sampler": "global"}, _ORDER_NOT_KEPT),
    "length-grouped": (16, "paraphrase", {"sampler": "length_grouped"}, _ORDER_NOT_KEPT),
    "drawing-collator": (5, "paraphrase", {"extra_padding": 6}, _DRAWS_NOT_REPEATED),
    "drawing-collator-workers-2": (
        5,
        "paraphrase",
        {"extra_padding": 6, "num_workers": 2},
        _DRAWS_NOT_REPEATED,
    ),
}
_KNOWN: dict[str, tuple[str, dict[str, Any], dict[str, dict[str, Any]], str]] = {
    "compiled-bf16": (
        "paraphrase",
        {"compile": "inductor", "precision": "bf16"},
        {},
        _AUTOCAST_INSIDE,
    ),
    "drawing-collator": ("paraphrase", {"extra_padding": 6}, {}, _PREFETCH),
    "trainer-does-not-average": (
        "paraphrase",
        {"gradient_accumulation_steps": 4},
        {"trainer": {"loss_average": "model"}},
        _NOT_AVERAGED,
    ),
    "accelerate-divides-by-the-configured": (
        "paraphrase",
        {"gradient_accumulation_steps": 4},
        {"accelerated": {"loss_average": "configured"}},
        _SHORT_WINDOW,
    ),
    "trainer-counts-unshifted-labels": (
        "causal_lm",
        {},
        {"trainer": {"loss_average": "model"}},
        _UNSHIFTED,
    ),
}

_LLAMA = {"model": "llama", "train_rows": 60}
# Draws, workload, settings, arms.
_NOISE: dict[str, tuple[int, str, dict[str, Any], dict[str, dict[str, Any]]]] = {
    "foreach-fused": (8, "paraphrase", {}, {"foreach": {"optimizer_flavour": "foreach"}}),
    "for-loop-fused": (8, "paraphrase", {}, {"for-loop": {"optimizer_flavour": "for_loop"}}),
    "threads": (8, "paraphrase", {}, {"two-threads": {"num_threads": 2}}),
    "attention": (8, "paraphrase", {}, {"eager": {"attention": "eager"}}),
    # Llama has no dropout, of which a model compiled by Inductor makes draws of its own.
    "compiled": (8, "causal_lm", _LLAMA, {"inductor": {"compile": "inductor"}}),
    # bf16 spreads wider, so that it takes more draws to tell how wide.
    "bf16-fp32": (16, "paraphrase", {}, {"bf16": {"precision": "bf16"}}),
}


def _noise() -> list[Case]:
    return [
        _case(name, workload, settings, arms=arms, noise=draws)
        for name, (draws, workload, settings, arms) in _NOISE.items()
    ]


_PADDED_ACCUMULATED = {"packing": False, "gradient_accumulation_steps": 2}
_LOSS_TIMES_PROCESSES = (
    "With average_tokens_across_devices, its default, the Trainer multiplies the loss by the "
    "number of processes where the model takes extra arguments for it, and a BERT head does not "
    "divide it (transformers 5.23). Measured: gradients twice as large on two processes. Remedy, "
    "applied in matched conventions: model.accepts_loss_kwargs = False before the Trainer is built."
)
_SCHEDULE_PER_PROCESS = (
    "A scheduler that Accelerate prepared steps once for each process (accelerate 1.15), and this "
    "one was given the number of updates. Measured: from step 2 on the learning rate falls twice "
    "as fast on two processes. Remedy, applied in matched conventions: do not prepare it."
)
_NORM_OF_SHARES = (
    "The norm by which gradients are clipped is the root of summed squares; where each process "
    "holds a share of every tensor the squares are summed in another order. Measured: identical "
    "until a step clips, and for all steps where clipping is off."
)
_OTHER_SHARDING = (
    "DistributedSampler gives each process every second row, Accelerate every second batch, with "
    "rows of the beginning repeated to fill the last round. Measured: other rows from step 1 on, "
    "and other counts of samples."
)
# On two processes, 84 rows at 8: 6 updates an epoch, the last of them filled up.
_TWO_PROCESSES: dict[str, dict[str, Any]] = {
    "course": {},
    "accumulate-2": {"gradient_accumulation_steps": 2},
    "accumulate-4-short-window": {"gradient_accumulation_steps": 4},
    "clip-bites": {"max_grad_norm": 0.05},
    "clip-off-sgd": {"max_grad_norm": None, "optimizer": "sgd", "learning_rate": 0.05},
    "evaluate-every-2": {"eval_every": 2},
    "evaluate-each-epoch-workers": {"eval_every": "epoch", "num_workers": 1},
    "odd-rows": {"train_rows": 83, "eval_rows": 37, "per_device_batch_size": 3},
    "fewer-rows-than-a-round": {"train_rows": 11, "num_epochs": 4},
    "drop-last": {"drop_last": True},
    "bf16": {"precision": "bf16"},
    "label-smoothing-cosine-warmup": {
        "label_smoothing": 0.1,
        "lr_schedule": "cosine",
        "warmup_steps": 4,
        "weight_decay": 0.1,
    },
    "max-steps": {"max_steps": 8, "sampler": "sequential"},
    "compiled": {"compile": "aot_eager"},
}


def _case(name: str, workload: str, settings: dict[str, Any], **more: Any) -> Case:
    few = {"train_rows": 84, "eval_rows": 40, "num_epochs": 2}
    chosen = with_settings(cases()[workload], {**few, **settings})
    return chosen.model_copy(update={"name": name, **more})


def _matrix() -> list[Case]:
    return [
        *(_case(name, "paraphrase", settings) for name, settings in _PARAPHRASE.items()),
        *(_case(name, *rest) for name, rest in _OTHERS.items()),
        *(
            _case(name, workload, settings, overrides=own, note=note)
            for name, (workload, settings, own, note) in _KNOWN.items()
        ),
    ]


def _agreeing() -> list[Case]:
    return [case for case in _matrix() if not case.note]


def _resume() -> list[Case]:
    return [
        _case(name, workload, settings, resume_at=step, note=note)
        for name, (step, workload, settings, note) in _RESUMED.items()
    ]


def _two_processes() -> list[Case]:
    def two(name: str, settings: dict[str, Any], **more: Any) -> Case:
        return _case(name, "paraphrase", settings, world_size=2, **more)

    fsdp2 = {"parallel": "fsdp2"}
    trainer, accelerated = {"loss_average": "model"}, {"schedule_per_process": True}
    return [
        *(two(name, settings) for name, settings in _TWO_PROCESSES.items()),
        two("resume-mid-epoch", {"num_workers": 1}, resume_at=3),
        two("resume-epoch-end-accumulate-2", {"gradient_accumulation_steps": 2}, resume_at=3),
        _case("gpt2-padded-accumulate-2", "causal_lm", _PADDED_ACCUMULATED, world_size=2),
        two(
            "fsdp2-in-plain",
            {"max_grad_norm": None},
            overrides={"plain": fsdp2},
            note=_NORM_OF_SHARES,
        ),
        two("fsdp2-in-plain-clipped", {}, overrides={"plain": fsdp2}, note=_NORM_OF_SHARES),
        two(
            "loss-times-processes",
            {},
            overrides={"trainer": trainer},
            note=_LOSS_TIMES_PROCESSES,
        ),
        two(
            "schedule-steps-per-process",
            {},
            overrides={"accelerated": accelerated},
            note=_SCHEDULE_PER_PROCESS,
        ),
        two(
            "other-sharding",
            {},
            overrides={"plain": {"sharding": "strided"}},
            note=_OTHER_SHARDING,
        ),
    ]


SUITES: dict[str, Callable[[], list[Case]]] = {
    "matrix": _matrix,
    "agreeing": _agreeing,
    "resume": _resume,
    "two-processes": _two_processes,
    "noise": _noise,
}
"""Suites by name, each made when it is asked for."""
