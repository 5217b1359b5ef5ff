"""Refuses the settings that a loop does not follow, in one line."""

from __future__ import annotations

from collections.abc import Collection

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.workload import Workload

__all__ = ["FOLLOWED_OUTSIDE", "refuse_others"]

FOLLOWED_OUTSIDE = frozenset(
    {
        *("attention", "eval_batch_size", "extra_padding", "frozen", "max_length", "num_threads"),
        *("padding", "reseed_after_build"),
    }
)
"""Fields that the harness applies outside the loop."""
_SEVERAL_PROCESSES = frozenset({"parallel", "sharding", "schedule_per_process"})
"""Fields without an effect in a single process."""


def refuse_others(name: str, followed: Collection[str], workload: Workload, recipe: Recipe) -> None:
    """Raise `SpecError` for the first setting that the loop `name` does not follow.

    Of the fields in `followed`, an order by length, an average by the model and fp16 are left out:
    they need what transformers brings, or a GPU.
    """
    settings = {**dict(recipe), "processes": workload.world_size, "resume": workload.resume_from}
    for field, default in {**dict(Recipe()), "processes": 1, "resume": None}.items():
        known = field in followed or field in FOLLOWED_OUTSIDE or field in _SEVERAL_PROCESSES
        if not known and settings[field] != default:
            rule = f"the {name} loop requires {field}={default}"
            raise SpecError(rule, settings[field], "change it, or use the plain loop")
    for field, value in (
        ("sampler", "length_grouped"),
        ("loss_average", "model"),
        ("precision", "fp16"),
    ):
        if settings[field] == value:
            rule = f"the {name} loop does not follow {field}={value}"
            raise SpecError(rule, value, "change it, or use the plain loop")
