"""Synthetic records with all that the diagnosis reads: settings, norms, circumstances."""

from __future__ import annotations

import math
from typing import Any

from tests.support.records import BATCH_SIZE, MICRO_BATCHES, STEPS, TENSORS, Draft, draft

__all__ = ["SETTINGS", "evident", "scale_gradients"]

SETTINGS: dict[str, Any] = {
    "weights.dtype": {"float32": 3},
    "weights.declared_dtype": "float32",
    "weights.frozen": [],
    "model.head": {"classifier.weight": 128, "classifier.bias": 2},
    "model.attention": "sdpa",
    "model.training": True,
    "optimizer.rule": "AdamW",
    "optimizer.flavour": "fused",
    "optimizer.weight_decay": 0.0,
    "optimizer.without": [],
    "optimizer.foreign": 0,
    "loader.drop_last": False,
    "loader.num_workers": 0,
    "collator.draws": False,
    "rng.seed": 42,
    "rng.draws_at_watch": 0,
    "rng.draws_since_seed": 2,
    "flags.threads": 1,
}
NORMS = dict(zip(TENSORS, (3.0, 4.0, 12.0), strict=True))  # in all 13
LIMIT = 1.0


def evident(loop: str = "plain", **settings: Any) -> Draft:
    """A draft of two epochs of three steps, whose updates are given gradients clipped to 1."""
    made = draft(loop)
    case = made.header["spec"].case
    recipe = case.recipe.model_copy(update={"gradient_accumulation_steps": MICRO_BATCHES})
    case = case.model_copy(update={"recipe": recipe})
    made.header["spec"] = made.header["spec"].model_copy(update={"case": case, "recipe": recipe})
    made.header["settings"] = {**SETTINGS, **settings}
    made.header["steps_per_epoch"] = STEPS // 2
    made.header["epochs"] = 2.0
    half = STEPS // 2 * MICRO_BATCHES * BATCH_SIZE
    for row in made.rows["micro_batches"]:  # shuffled, the second epoch in another order
        row["sample_ids"] = [
            (5 * number + 1) % half if number >= half else (11 * number + 2) % half
            for number in row["sample_ids"]
        ]
    for row in made.rows["steps"]:
        row["grad_norm"] = math.hypot(*NORMS.values()) / row["step"]
    made.rows["norms"] = [
        {"step": 0, "tensor": name, "weight": 2.0, "gradient": None, "applied": None}
        for name in TENSORS
    ]
    for step in range(1, STEPS + 1):
        for name, norm in NORMS.items():
            raw = norm / step
            total = math.hypot(*NORMS.values()) / step
            given = raw * min(1.0, LIMIT / total)
            made.rows["norms"].append(
                {"step": step, "tensor": name, "weight": None, "gradient": raw, "applied": given}
            )
    made.rows["circumstances"] = [
        {
            "step": step,
            "micro_batch": number,
            "training": True,
            "shape": [BATCH_SIZE, 8],
            "labels": BATCH_SIZE,
            "targets": BATCH_SIZE,
            "passes_before": 0,
            "draws": True,
            "compute_dtype": "float32",
            "inputs": ["attention_mask", "input_ids"],
            "input_digests": [step, number],
        }
        for step in range(1, STEPS + 1)
        for number in range(1, MICRO_BATCHES + 1)
    ]
    return made


def scale_gradients(made: Draft, factor: float, step: int = 1) -> None:
    """From `step` on all raw gradients are other ones, larger by `factor`."""
    for row in made.rows["norms"]:
        if row["step"] >= step:
            row["gradient"] *= factor
    for row in made.rows["steps"]:
        if row["step"] >= step:
            row["grad_norm"] *= factor
            row["gradients"] ^= 1
    for row in made.rows["tensors"]:
        if row["step"] >= step:
            row["gradient"] ^= 1
