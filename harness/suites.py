"""Named sets of cases for `harness run --suite NAME`.

`matrix` is the width of the recipe, one field or one meeting of fields a case, on few rows so that
each run takes seconds. A case on which loops are known to differ carries a note that says why.

`noise` are pairs that differ by rounding alone: the first loop by the case's recipe, and by an arm
that changes who computes and not what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.catalogue import cases, with_settings
from harness.spec import Case

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
    "compiled-bf16": {"compile": "inductor", "precision": "bf16"},
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
    "resume-mid-epoch": (5, "paraphrase", {}, ""),
    "resume-epoch-end": (11, "paraphrase", {}, ""),
    "resume-second-epoch": (16, "paraphrase", {}, ""),
    "resume-inside-window": (2, "paraphrase", {"gradient_accumulation_steps": 3}, ""),
    "resume-after-short-window": (4, "paraphrase", {"gradient_accumulation_steps": 3}, ""),
    "resume-accumulate-workers-evaluate": (
        4,
        "paraphrase",
        {"gradient_accumulation_steps": 2, "num_workers": 2, "eval_every": 3},
        "",
    ),
    "resume-from-an-earlier-checkpoint": (
        10,
        "paraphrase",
        {"save_every": 4, "warmup_steps": 6, "lr_schedule": "cosine", "eval_every": "epoch"},
        "",
    ),
    "resume-bf16-sgd": (
        7,
        "paraphrase",
        {"precision": "bf16", "optimizer": "sgd", "learning_rate": 0.05},
        "",
    ),
    "resume-compiled": (5, "paraphrase", {"compile": "aot_eager"}, ""),
    "resume-gpt2-padded": (
        5,
        "causal_lm",
        {"packing": False, "gradient_accumulation_steps": 2},
        "",
    ),
    "resume-global-order": (16, "paraphrase", {"sampler": "global"}, _ORDER_NOT_KEPT),
    "resume-length-grouped": (16, "paraphrase", {"sampler": "length_grouped"}, _ORDER_NOT_KEPT),
    "resume-drawing-collator": (5, "paraphrase", {"extra_padding": 6}, _DRAWS_NOT_REPEATED),
    "resume-drawing-collator-workers-2": (
        5,
        "paraphrase",
        {"extra_padding": 6, "num_workers": 2},
        _DRAWS_NOT_REPEATED,
    ),
}
_KNOWN: dict[str, tuple[str, dict[str, Any], dict[str, dict[str, Any]], str]] = {
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


def _small(name: str, workload: str, settings: dict[str, Any]) -> Case:
    small = {"train_rows": 84, "eval_rows": 40, "num_epochs": 2}
    return with_settings(cases()[workload], {**small, **settings}).model_copy(update={"name": name})


def _noise() -> list[Case]:
    return [
        _small(name, workload, settings).model_copy(update={"arms": arms, "noise": draws})
        for name, (draws, workload, settings, arms) in _NOISE.items()
    ]


def _matrix() -> list[Case]:
    return [
        *(_small(name, "paraphrase", settings) for name, settings in _PARAPHRASE.items()),
        *(_small(name, *rest) for name, rest in _OTHERS.items()),
        *(
            _small(name, workload, settings).model_copy(update={"resume_at": step, "note": note})
            for name, (step, workload, settings, note) in _RESUMED.items()
        ),
        *(
            _small(name, workload, settings).model_copy(update={"overrides": own, "note": note})
            for name, (workload, settings, own, note) in _KNOWN.items()
        ),
    ]


SUITES: dict[str, Callable[[], list[Case]]] = {"matrix": _matrix, "noise": _noise}
"""Suites by name, each made when it is asked for."""
