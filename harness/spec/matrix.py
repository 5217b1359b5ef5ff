"""The cases of the suite `matrix`: which recipe fields each one changes."""

from __future__ import annotations

from typing import Any

from harness.spec.known_differences import (
    AUTOCAST_INSIDE,
    NOT_AVERAGED,
    PREFETCH,
    SHORT_WINDOW,
    UNSHIFTED,
)

__all__ = ["KNOWN", "OTHERS", "PARAPHRASE"]

PARAPHRASE: dict[str, dict[str, Any]] = {
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
    "host-random-numbers-checkpointing": {
        "random_numbers": "host",
        "gradient_checkpointing": True,
    },
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
"""Of the case `paraphrase`: settings by the name of the case."""
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
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
"""Of other workloads: workload and settings."""
KNOWN: dict[str, tuple[str, dict[str, Any], dict[str, dict[str, Any]], str]] = {
    "compiled-bf16": (
        "paraphrase",
        {"compile": "inductor", "precision": "bf16"},
        {},
        AUTOCAST_INSIDE,
    ),
    "drawing-collator": ("paraphrase", {"extra_padding": 6}, {}, PREFETCH),
    "trainer-does-not-average": (
        "paraphrase",
        {"gradient_accumulation_steps": 4},
        {"trainer": {"loss_average": "model"}},
        NOT_AVERAGED,
    ),
    "accelerate-divides-by-the-configured": (
        "paraphrase",
        {"gradient_accumulation_steps": 4},
        {"accelerated": {"loss_average": "configured"}},
        SHORT_WINDOW,
    ),
    "trainer-counts-unshifted-labels": (
        "causal_lm",
        {},
        {"trainer": {"loss_average": "model"}},
        UNSHIFTED,
    ),
}
"""With a known difference: workload, settings, overrides and note."""
