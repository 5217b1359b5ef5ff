"""The update rule of the plain loop."""

import torch

from harness.spec.recipe import Recipe


def build_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD over all parameters that require a gradient, in two groups.

    Parameters with two or more dimensions are decayed. Those with fewer, the biases and the norms,
    are decayed only if the recipe excludes nothing.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    vector_decay = recipe.weight_decay if recipe.decay_exclusions == "none" else 0.0
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": vector_decay},
    ]
    fused, foreach = recipe.optimizer_flavour == "fused", recipe.optimizer_flavour == "foreach"
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            fused=fused,
            foreach=foreach,
        )
    return torch.optim.AdamW(
        groups,
        lr=recipe.learning_rate,
        betas=recipe.betas,
        eps=recipe.eps,
        fused=fused,
        foreach=foreach,
    )
