"""Finds the module that a set of optimizers trains, among all that are alive.

It is the smallest module that owns all their parameters. Wrappers own the same ones: the names are
those of the innermost. Parameters that no module owns are numbered.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["Target", "targets"]


@dataclass(frozen=True)
class Target:
    """A module that is trained."""

    model: nn.Module | None
    """The module whose parameter names are recorded; None: no module owns `parameters`."""
    wrappers: tuple[nn.Module, ...]
    """The modules around it that own the same parameters, the innermost first."""
    optimizers: tuple[Optimizer, ...]
    """The optimizers that update it."""
    parameters: tuple[Tensor, ...] = ()
    """Parameters that no module owns, in the order of the optimizer."""

    @property
    def watched(self) -> nn.Module | dict[str, Tensor]:
        """What a probe watches. Of a compiled model it is the compiled form, since no hook may be
        compiled; of parameters without a module, the parameters by number."""
        if self.model is None:
            return {f"param_{number}": each for number, each in enumerate(self.parameters)}
        compiled = [each for each in self.wrappers if "_orig_mod" in each._modules]
        return compiled[-1] if compiled else self.model


def targets(optimizers: Sequence[Optimizer], called: nn.Module | None) -> list[Target]:
    """The modules that `optimizers` train. `called`: the module that is about to be called.

    One module, if one owns the parameters of all optimizers; else one for each optimizer; else as
    many as it takes, and the parameters that no module owns.
    """
    owners = _Owners()
    together = _parameters(optimizers)
    found = owners.smallest(set(together), called)
    if found is not None:
        return [Target(*found, tuple(optimizers))]
    if len(optimizers) > 1:
        return [target for each in optimizers for target in targets([each], called)]
    return _several(owners, together, optimizers[0], called)


def _several(
    owners: _Owners, wanted: dict[int, Tensor], optimizer: Optimizer, called: nn.Module | None
) -> list[Target]:
    """Several modules that together own the parameters of one optimizer."""
    left, targets_found = dict(wanted), []
    for root in owners.roots(left):
        part = set(left) & owners.of(root)
        found = owners.smallest(part, called) if part else None
        if found is not None:
            targets_found.append(Target(*found, (optimizer,)))
            left = {key: tensor for key, tensor in left.items() if key not in part}
    if left:
        targets_found.append(Target(None, (), (optimizer,), tuple(left.values())))
    return targets_found


def _parameters(optimizers: Iterable[Optimizer]) -> dict[int, Tensor]:
    """The parameters of optimizers by identity, in their order."""
    return {
        id(parameter): parameter
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


class _Owners:
    """The modules that are alive, and what each of them owns."""

    def __init__(self) -> None:
        # `issubclass` of the type, since `isinstance` asks objects for `__class__`, and runs code.
        self._modules = [
            value
            for value in gc.get_objects()
            if issubclass(type(value), nn.Module) and "_modules" in value.__dict__
        ]
        self._owned: dict[int, frozenset[int]] = {}

    def of(self, module: nn.Module) -> frozenset[int]:
        """Identities of the parameters of a module and of those inside it."""
        known = self._owned.get(id(module))
        if known is None:
            inner = (value for value in module._modules.values() if value is not None)
            own = (id(value) for value in module._parameters.values() if value is not None)
            self._owned[id(module)] = frozenset()  # a module that holds itself ends here
            known = frozenset(own).union(*(self.of(value) for value in inner))
            self._owned[id(module)] = known
        return known

    def smallest(
        self, wanted: set[int], called: nn.Module | None
    ) -> tuple[nn.Module, tuple[nn.Module, ...]] | None:
        """The smallest module that owns all of `wanted`, and what wraps it; None if none does."""
        owning = [module for module in self._modules if wanted <= self.of(module)]
        # A `ModuleList`, for example, is never called, so no batch of it could be seen.
        owning = [module for module in owning if _has_forward(module)] or owning
        if not owning:
            return None
        least = min(len(self.of(module)) for module in owning)
        equal = [module for module in owning if len(self.of(module)) == least]
        # Several may share their parameters without holding each other: take that which is called.
        if called is not None:
            inside = _identities(called)
            near = [m for m in equal if id(m) in inside or id(called) in _identities(m)]
            equal = near or equal
        chain = sorted(equal, key=lambda module: len(_identities(module)))
        innermost = chain[0]
        around = [m for m in chain if m is not innermost and id(innermost) in _identities(m)]
        return innermost, tuple(around)

    def roots(self, wanted: Iterable[int]) -> list[nn.Module]:
        """The modules with some of `wanted` that stand in no other, the largest first.

        Equal ones are in the order of `wanted`, since that of living objects is another in each
        process.
        """
        places = {key: place for place, key in enumerate(wanted)}
        some = [module for module in self._modules if places.keys() & self.of(module)]
        inside = {key for module in some for key in _identities(module) - {id(module)}}
        outer = [module for module in some if id(module) not in inside]
        held = {
            id(module): [places[k] for k in places.keys() & self.of(module)] for module in outer
        }
        return sorted(outer, key=lambda module: (-len(held[id(module)]), min(held[id(module)])))


def _identities(module: nn.Module) -> set[int]:
    """A module and all modules inside it."""
    return {id(inner) for inner in module.modules()}


def _has_forward(module: nn.Module) -> bool:
    """Whether it can be called; a compiled form has a `forward` of its own, not of its class."""
    own = "forward" in module.__dict__
    return own or getattr(type(module), "forward", None) is not nn.Module.forward
