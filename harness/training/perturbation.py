"""Perturbs a run by rounding alone. Repeated draws of the reference measure its noise band.

There are two kinds. `weights` moves every initial weight by one unit in the last place, up or down
by a random sign. Perturbing one weight is not enough. Measured on the embedded case over 24 steps,
relative to the movement of the weights: after one perturbed weight the runs differ by 2e-9 to 7e-5,
depending on the weight. After a perturbation of all weights they differ by 7e-5 to 1e-4. Another
attention kernel, number of threads or optimizer flavour gives 5e-5 to 9e-5.

`bf16` disturbs the forward and backward passes by the rounding errors of bf16 autocast. In the
standard model of floating point (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
2.2) a rounded value is x (1 + d) with |d| at most the unit roundoff. Here d is drawn at random, as
in Monte Carlo arithmetic (Parker, "Monte Carlo Arithmetic", 1997). A weight keeps its error, since
autocast rounds it equally at each step; values and gradients get a new error each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from harness.spec.case import Perturbation

__all__ = ["perturb", "perturb_weights"]

_BF16 = 2.0**-8
"""Unit roundoff of bf16, which keeps 8 significant bits."""
_APART = 1_000_003
"""Distance of the seeds of two draws: larger than the number of parameters of a model."""


def perturb(model: nn.Module, perturbation: Perturbation) -> None:
    """Change the model's weights, or hook its modules. Draws from no global generator."""
    generator = torch.Generator().manual_seed(perturbation.draw)
    if perturbation.rounding == "weights":
        for parameter in model.parameters():
            _one_ulp(parameter, generator)
    else:
        _round_passes(model, generator)


def perturb_weights(parameters: Iterable[Tensor], perturbation: Perturbation) -> None:
    """Move weights by one unit in the last place. Draws from no global generator.

    Each parameter has its own generator, so processes that hold other shards of one parameter move
    every other parameter alike.
    """
    for number, parameter in enumerate(parameters):
        if parameter.is_floating_point():
            _one_ulp(parameter, torch.Generator().manual_seed(perturbation.draw * _APART + number))


def _one_ulp(parameter: Tensor, generator: torch.Generator) -> None:
    local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
    # Not counted as a change of the tensor: a pass that has begun may still go backward.
    weights = local.data
    up = torch.randint(0, 2, weights.shape, generator=generator, dtype=torch.int8)
    towards = torch.where(up == 1, torch.inf, -torch.inf).to(weights)
    weights.copy_(torch.nextafter(weights, towards))


def _round_passes(model: nn.Module, generator: torch.Generator) -> None:
    """Disturb each module that autocast runs in bf16: those that multiply by a weight matrix."""

    def factors_for(value: Tensor) -> Tensor:
        drawn = torch.rand(value.shape, generator=generator)
        return (1 + (2 * drawn - 1) * _BF16).to(value.device)

    def disturbed(value: Tensor) -> Tensor:
        # The product is in fp32 also for a bf16 value: in bf16, 1 + d would round to 1 or less.
        return (value * factors_for(value)).to(value.dtype)

    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Embedding) or not isinstance(weight, Tensor) or weight.ndim < 2:
            continue
        kept = dict(module.named_parameters(recurse=False))
        factors = {name: factors_for(p) for name, p in kept.items()}

        # Defaults bind the values of this module; a closure would see those of the last one.
        def before(m: nn.Module, args: Any, kept: Any = kept, factors: Any = factors) -> None:
            for name, parameter in kept.items():
                m._parameters[name] = parameter * factors[name].to(parameter.device)

        def after(m: nn.Module, args: Any, output: Tensor, kept: Any = kept) -> Tensor:
            m._parameters.update(kept)
            output = disturbed(output)
            if output.requires_grad:
                output.register_hook(disturbed)
            return output

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)
        for parameter in kept.values():
            parameter.register_hook(disturbed)
