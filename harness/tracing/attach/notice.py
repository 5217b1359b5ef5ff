"""Notices the optimizers of a program: when one is made, before its first forward pass, and before
its first step.

Nothing is registered on a module, since the program may still wrap or compile it. The class
`nn.Module` is changed only between the construction of an optimizer and the first forward pass of
its parameters, or as long as optimizers that were made before this began are still waited for. No
other library is imported, so that a program that trains nothing starts quickly.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.tracing import backward, steps
from harness.tracing.attach.early import EarlyPasses
from harness.tracing.by_hand import ByHand
from harness.tracing.graph import leaves_of

if TYPE_CHECKING:
    from harness.tracing.forward import ForwardPass

__all__ = ["Event", "Notice"]

Event = Literal["call", "backward", "step"]
Guard = AbstractContextManager[None]
OnOptimizers = Callable[[list[Optimizer], nn.Module | None, Event], None]
OnByHand = Callable[[ByHand, "list[ForwardPass]"], None]


class Notice:
    """Calls `on_optimizers(optimizers, called, event)` once for each optimizer of the process.

    That is before the first call of a module that holds one of its parameters: `called` is that
    module, and all optimizers made so far come with it. If no such call is seen, it is before the
    next backward pass, or before its first step. A step that calls its closure before there is a
    gradient is as good as a call: no pass was missed.

    As long as a process makes no optimizer, a backward pass may belong to a script that updates its
    weights itself. `on_by_hand(optimizer, passes)` is called with a `ByHand` in its place, and with
    the forward passes so far.
    """

    def __init__(
        self,
        on_optimizers: OnOptimizers,
        guarded: Callable[[], Guard],
        on_by_hand: OnByHand | None = None,
    ) -> None:
        """`guarded`: a context that lets no error out. It surrounds all that happens here.
        `on_by_hand`: None: only optimizers are noticed."""
        self._on_optimizers, self._guarded = on_optimizers, guarded
        self._on_by_hand = on_by_hand
        self._early = EarlyPasses()
        self._by_hand: set[int] = set()
        """Identities of the parameters of `ByHand`."""
        self._known: dict[int, weakref.ref[Optimizer]] = {}
        self._new: dict[int, weakref.ref[Optimizer]] = {}
        self._inherited: dict[int, weakref.ref[Optimizer]] = {}
        self._restore: list[Callable[[], None]] = []
        self._armed = self._listens = False
        self._call: Any = None
        self._passed: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        """Modules that were called while armed, and belong to no optimizer that is waited for."""

    def install(self) -> None:
        """Begin to notice."""
        construct = Optimizer.__init__

        @functools.wraps(construct)
        def __init__(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it takes its place
            construct(optimizer, *args, **kwargs)
            with self._guarded():
                self._made(optimizer)

        def put_back() -> None:
            if Optimizer.__init__ is __init__:
                Optimizer.__init__ = construct  # type: ignore[method-assign]

        Optimizer.__init__ = __init__  # type: ignore[assignment, method-assign]
        self._restore.append(put_back)
        steps.listen(self)
        if self._on_by_hand is not None:
            self._early.install()
            self._listen_to_backward()

    def _listen_to_backward(self) -> None:
        if not self._listens:
            self._listens = True
            backward.listen(self)

    def remove(self) -> None:
        """Notice nothing any more."""
        self._disarm()
        self._expect_optimizers()
        self._new, self._inherited = {}, {}
        steps.stop_listening(self)
        backward.stop_listening(self)
        for restore in self._restore:
            restore()
        self._restore = []

    def forget(self) -> None:
        """Know no optimizer, as in a process that was forked.

        Those of its parent are noticed again if this process trains with them.
        """
        self._inherited = {**self._inherited, **self._known, **self._new}
        self._known, self._new = {}, {}
        self._by_hand = set()
        if self._inherited:
            self._arm()

    def _expect_optimizers(self) -> None:
        """From now on weights are updated by optimizers."""
        self._early.remove()
        self._on_by_hand = None

    def wait_for(self, optimizers: Iterable[Optimizer]) -> None:
        """Notice optimizers that exist already, if a module with their parameters is called."""
        self._inherited |= {id(optimizer): weakref.ref(optimizer) for optimizer in optimizers}
        if self._inherited:
            self._arm()

    def know(self, optimizers: Iterable[Optimizer]) -> None:
        """Do not report these optimizers: somebody else has."""
        for optimizer in optimizers:
            self._known[id(optimizer)] = weakref.ref(optimizer)
            self._new.pop(id(optimizer), None)
            self._inherited.pop(id(optimizer), None)

    def _made(self, optimizer: Optimizer) -> None:
        self._new[id(optimizer)] = weakref.ref(optimizer)
        self._passed = weakref.WeakSet()
        self._expect_optimizers()
        self._arm()

    def step_begins(self, optimizer: Optimizer) -> None:
        """See `StepListener`."""
        if torch.compiler.is_compiling():
            return
        known = self._known.get(id(optimizer))
        if known is None or known() is not optimizer:
            with self._guarded():
                self._expect_optimizers()
                # Perhaps a copy, which was made without a call of its constructor.
                self._new[id(optimizer)] = weakref.ref(optimizer)
                # Without a gradient the passes come inside the step, in a closure.
                self._report(None, "step" if _has_gradient(optimizer) else "call")

    def step_ends(self, optimizer: Optimizer) -> None:
        """See `StepListener`."""

    def backward_begins(self, roots: Sequence[Tensor]) -> None:
        """See `BackwardListener`: a script whose parameters belong to no module, or one that has no
        optimizer."""
        if self._armed and self._new:
            with self._guarded():
                self._report(None, "backward")
        elif self._on_by_hand is not None:
            with self._guarded():
                self._report_by_hand(self._on_by_hand, leaves_of(roots))

    def backward_ends(self) -> None:
        """See `BackwardListener`."""

    def _report_by_hand(self, report: OnByHand, leaves: list[Tensor]) -> None:
        """Report tensors that get gradients and belong to no optimizer."""
        found = {id(leaf) for leaf in leaves}
        if not found or found & self._by_hand:
            return
        self._by_hand |= found
        report(ByHand(leaves), self._early.take(found))

    def _report(self, called: nn.Module | None, event: Event) -> None:
        new, self._new = self._new, {}
        self._inherited = {key: old for key, old in self._inherited.items() if key not in new}
        self._disarm()
        self._known |= new
        self._known = {key: known for key, known in self._known.items() if known() is not None}
        optimizers = [optimizer for optimizer in (known() for known in new.values()) if optimizer]
        if self._inherited:
            self._arm()
        if optimizers:
            self._on_optimizers(optimizers, called, event)

    def _arm(self) -> None:
        """Have the next call of any module noticed."""
        if self._armed:
            return
        self._armed = True
        self._listen_to_backward()
        if self._call is not None and nn.Module.__call__ is self._call:
            return
        original = nn.Module.__call__

        @functools.wraps(original)
        def __call__(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807  # as above
            # A compiler sees a constant here, and leaves the rest out.
            if not torch.compiler.is_compiling() and torch.is_grad_enabled():
                with self._guarded():
                    self._before_call(module)
            return original(module, *args, **kwargs)

        self._call = __call__
        self._original_call = original
        nn.Module.__call__ = __call__  # type: ignore[method-assign]

    def _disarm(self) -> None:
        self._armed = False
        # Another library, such as torch.fx, may have put its own function there for a while.
        if self._call is not None and nn.Module.__call__ is self._call:
            nn.Module.__call__ = self._original_call  # type: ignore[method-assign]
            self._call = None

    def _before_call(self, module: nn.Module) -> None:
        if not self._armed:
            self._disarm()
            return
        if module in self._passed or torch._C._get_tracing_state() is not None:
            return
        held = {id(parameter) for parameter in module.parameters()}
        again = {key: old for key, old in self._inherited.items() if _updates(old(), held)}
        if again or any(_updates(new(), held) for new in self._new.values()):
            self._new |= again
            self._report(module, "call")
        else:
            self._passed.add(module)


def _has_gradient(optimizer: Optimizer) -> bool:
    """Whether a backward pass has left a gradient that the optimizer is about to use."""
    groups = optimizer.param_groups
    return any(parameter.grad is not None for group in groups for parameter in group["params"])


def _updates(optimizer: Optimizer | None, held: set[int]) -> bool:
    """Whether the optimizer updates one of the parameters with these identities."""
    groups = () if optimizer is None else optimizer.param_groups
    return any(id(parameter) in held for group in groups for parameter in group["params"])
