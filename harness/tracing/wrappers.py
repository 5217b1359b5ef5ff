"""What stands inside the wrappers that libraries put around models and optimizers."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

__all__ = ["compiled_form", "unwrapped_model", "unwrapped_optimizer"]


def unwrapped_model(model: nn.Module) -> nn.Module:
    """The module inside `DistributedDataParallel` and `torch.compile`."""
    if isinstance(model, DistributedDataParallel):
        return unwrapped_model(model.module)
    inner = getattr(model, "_orig_mod", None)
    return unwrapped_model(inner) if isinstance(inner, nn.Module) else model


def compiled_form(model: nn.Module) -> nn.Module | None:
    """The compiled module, if `model` or the module that it wraps is one."""
    if isinstance(getattr(model, "_orig_mod", None), nn.Module):
        return model
    return compiled_form(model.module) if isinstance(model, DistributedDataParallel) else None


def unwrapped_optimizer(optimizer: Optimizer) -> Optimizer:
    """The optimizer inside Accelerate's wrapper; the wrapper's `step` calls it."""
    inner = getattr(optimizer, "optimizer", None)
    return unwrapped_optimizer(inner) if isinstance(inner, Optimizer) else optimizer
