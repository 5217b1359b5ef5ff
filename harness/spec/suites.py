"""Named sets of cases for `harness run --suite NAME`.

`matrix` covers the fields of the recipe. Each case changes one field, or a combination, and trains
on few rows so that each run takes seconds. `agreeing` holds the cases of `matrix` without a known
difference: there, any difference is news. `resume` kills each loop's process at different points
and resumes it in a new process. `two-processes` trains each case with two processes. A case on
which loops are known to differ has a note with the reason (`known_differences`).

The cases of `noise` compare the first loop with an arm of itself. The arm changes the kernels,
the threads or the precision, so that the two differ only by rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.spec.case import Case
from harness.spec.known_differences import (
    DRAWS_NOT_REPEATED,
    LOSS_TIMES_PROCESSES,
    NORM_OF_SHARES,
    ORDER_NOT_KEPT,
    OTHER_SHARDING,
    SCHEDULE_PER_PROCESS,
)
from harness.spec.matrix import KNOWN, OTHERS, PARAPHRASE
from harness.spec.registry import cases, with_settings

__all__ = ["SUITES"]

# By name: the step to resume at, workload, settings, note. An epoch has 11 batches.
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
    "global-order": (16, "paraphrase", {"sampler": "global"}, ORDER_NOT_KEPT),
    "length-grouped": (16, "paraphrase", {"sampler": "length_grouped"}, ORDER_NOT_KEPT),
    "drawing-collator": (5, "paraphrase", {"extra_padding": 6}, DRAWS_NOT_REPEATED),
    "drawing-collator-workers-2": (
        5,
        "paraphrase",
        {"extra_padding": 6, "num_workers": 2},
        DRAWS_NOT_REPEATED,
    ),
}

_LLAMA = {"model": "llama", "train_rows": 60}
# Draws, workload, settings, arms.
_NOISE: dict[str, tuple[int, str, dict[str, Any], dict[str, dict[str, Any]]]] = {
    "foreach-fused": (8, "paraphrase", {}, {"foreach": {"optimizer_flavour": "foreach"}}),
    "for-loop-fused": (8, "paraphrase", {}, {"for-loop": {"optimizer_flavour": "for_loop"}}),
    "threads": (8, "paraphrase", {}, {"two-threads": {"num_threads": 2}}),
    "attention": (8, "paraphrase", {}, {"eager": {"attention": "eager"}}),
    # Llama has no dropout. With dropout, a model compiled by Inductor draws other random numbers.
    "compiled": (8, "causal_lm", _LLAMA, {"inductor": {"compile": "inductor"}}),
    # bf16 has a wider spread, which takes more draws to measure.
    "bf16-fp32": (16, "paraphrase", {}, {"bf16": {"precision": "bf16"}}),
}


def _noise() -> list[Case]:
    return [
        _case(name, workload, settings, arms=arms, noise=draws)
        for name, (draws, workload, settings, arms) in _NOISE.items()
    ]


_PADDED_ACCUMULATED = {"packing": False, "gradient_accumulation_steps": 2}
# On two processes, 84 rows in batches of 8 make 6 updates an epoch; the last one is filled up.
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
        *(_case(name, "paraphrase", settings) for name, settings in PARAPHRASE.items()),
        *(_case(name, *rest) for name, rest in OTHERS.items()),
        *(
            _case(name, workload, settings, overrides=own, note=note)
            for name, (workload, settings, own, note) in KNOWN.items()
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
            note=NORM_OF_SHARES,
        ),
        two("fsdp2-in-plain-clipped", {}, overrides={"plain": fsdp2}, note=NORM_OF_SHARES),
        two(
            "loss-times-processes",
            {},
            overrides={"trainer": trainer},
            note=LOSS_TIMES_PROCESSES,
        ),
        two(
            "schedule-steps-per-process",
            {},
            overrides={"accelerated": accelerated},
            note=SCHEDULE_PER_PROCESS,
        ),
        two(
            "other-sharding",
            {},
            overrides={"plain": {"sharding": "strided"}},
            note=OTHER_SHARDING,
        ),
    ]


SUITES: dict[str, Callable[[], list[Case]]] = {
    "matrix": _matrix,
    "agreeing": _agreeing,
    "resume": _resume,
    "two-processes": _two_processes,
    "noise": _noise,
}
"""Suites by name. A call makes the cases."""
