"""What the graph of a backward pass shows of the forward pass that made it.

A script whose parameters belong to no module calls nothing that could be hooked. Autograd still
knows in which tensors it will leave gradients, and has kept what it needs to compute them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor

__all__ = ["constants_of", "leaves_of"]


def leaves_of(roots: Sequence[Tensor]) -> list[Tensor]:
    """The tensors in which a backward pass from `roots` will leave gradients."""
    found: dict[int, Tensor] = {}
    for node in _nodes(roots):
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, Tensor) and leaf.is_leaf:
            found.setdefault(id(leaf), leaf)
    return list(found.values())


def constants_of(roots: Sequence[Tensor]) -> list[Tensor]:
    """The tensors without gradient that autograd has kept: inputs, masks, targets.

    A tensor that only adds to a result is not kept. One that was changed since cannot be read, and
    fails the backward pass too. Single numbers are left out: most of them stand in the code, as in
    `x / 4.0`, and are no tensors to a dispatch mode.
    """
    found: list[Tensor] = []
    for node in _nodes(roots):
        kind: Any = type(node)
        for name in _kept_by(kind):
            try:
                kept = getattr(node, name)
            except RuntimeError:
                continue
            values = kept if isinstance(kept, (tuple, list)) else (kept,)
            found += [
                each
                for each in values
                if isinstance(each, Tensor) and each.dim() and not each.requires_grad
            ]
    return found


def _nodes(roots: Sequence[Tensor]) -> Iterator[Any]:
    """The nodes of the graph behind `roots`, in an order that only the graph determines."""
    waiting = [root.grad_fn for root in roots if root.grad_fn is not None]
    seen: set[Any] = set(waiting)
    while waiting:
        node: Any = waiting.pop()
        yield node
        for other, _ in node.next_functions:
            if other is not None and other not in seen:
                seen.add(other)
                waiting.append(other)


@lru_cache(1024)
def _kept_by(kind: Any) -> tuple[str, ...]:
    """The attributes of a kind of node that hold what it has kept."""
    names = dir(kind)
    return tuple(name for name in names if name.startswith("_saved_") or name == "saved_tensors")
