"""The learning-rate schedule of the plain loop, as a formula."""

import math

from harness.spec.recipe import Recipe


def schedule(recipe: Recipe, step: int, num_steps: int) -> float:
    """The factor, from 0 to 1, on the peak learning rate in the update after `step` updates.

    The formulas are those of `transformers.get_scheduler`: a linear warm-up from 0, then constant,
    linear to 0, or half a cosine to 0.
    """
    warmup_steps = recipe.warmup_steps or math.ceil(recipe.warmup_ratio * num_steps)
    if step < warmup_steps:
        return step / warmup_steps
    if recipe.lr_schedule == "constant":
        return 1.0
    decay_steps = max(1, num_steps - warmup_steps)
    if recipe.lr_schedule == "linear":
        return max(0.0, (num_steps - step) / decay_steps)
    progress = (step - warmup_steps) / decay_steps
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
