"""Names of `transformers.TrainingArguments` that recipes also accept. Files hold the recipe's own.

Only arguments that mean the same as one field are here. `optim`, `bf16` or `adam_beta1` set other
things than a single field does, so they are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import SpecError

__all__ = ["ALIASES", "canonical_fields"]

ALIASES: dict[str, str] = {
    "num_train_epochs": "num_epochs",
    "per_device_train_batch_size": "per_device_batch_size",
    "per_device_eval_batch_size": "eval_batch_size",
    "dataloader_drop_last": "drop_last",
    "dataloader_num_workers": "num_workers",
    "label_smoothing_factor": "label_smoothing",
    "adam_epsilon": "eps",
    "lr_scheduler_type": "lr_schedule",
    "eval_steps": "eval_every",
    "save_steps": "save_every",
    "torch_compile_backend": "compile",
}
"""Fields of the recipe by the name that `TrainingArguments` gives them."""
_VALUES: dict[str, dict[Any, Any]] = {"lr_scheduler_type": {"constant_with_warmup": "constant"}}
"""Values that have another name there."""


def canonical_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with every alias replaced by the recipe's name.

    Raises `SpecError` if a field is given by both names.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        field = ALIASES.get(name, name)
        if field in found:
            both = next(other for other in values if ALIASES.get(other, other) == field)
            rule = f"{field} is set once"
            raise SpecError(rule, f"{both} and {name}", f"omit {name}")
        translated = _VALUES.get(name, {})
        known = isinstance(value, str) and value in translated
        found[field] = translated[value] if known else value
    return found
