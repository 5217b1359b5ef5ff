"""Remembers the lines of the user's code that made the parts of a training.

They are those that make optimizers, schedules, loaders and samplers, that set the probability of a
dropout, and that clip gradients.

While it is installed, torch's constructors are called through functions of this module, which call
the original ones with the same arguments. The stack is read once for each construction, and for
clipping only in the step in which the settings are read. A line that cannot be found is left out.

It is installed in every process of a traced command that imports torch, so it imports little.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch.nn.modules import dropout as torch_dropout
from torch.nn.utils import clip_grad as torch_clip
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import (
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from harness.tracing.call_sites import Site, call_site

__all__ = [
    "Clip",
    "clips_until_now",
    "install",
    "rates_when_made",
    "remembered",
    "remove",
    "site_here",
    "site_of",
    "wait_for_clips",
]

_CONSTRUCTED: tuple[type, ...] = (
    Optimizer,
    LRScheduler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    DistributedSampler,
)
_CLIPPING = {"clip_grad_norm_": "norm", "clip_grad_value_": "value"}
_CLIPS_KEPT = 8
_LOOPS = "harness/training/loops/"


@dataclass(frozen=True)
class Clip:
    """A call that clips gradients."""

    kind: str
    """`norm` or `value`."""
    limit: float
    norm_type: float
    site: Site | None


_sites: dict[int, tuple[weakref.ref[Any], Site]] = {}
_rates: weakref.WeakKeyDictionary[Optimizer, tuple[Any, ...]] = weakref.WeakKeyDictionary()
"""The learning rate of each group of an optimizer when it was made."""
_restore: list[Callable[[], None]] = []
_clips: list[Clip] | None = None
"""The calls since `wait_for_clips`; None: nobody waits."""


def install() -> bool:
    """Begin to remember; return whether this call did it, since it was not installed already."""
    if _restore:
        return False
    for kind in _CONSTRUCTED:
        _wrap_constructor(kind)
    _wrap_probability()
    for name, clips in _CLIPPING.items():
        _wrap_clipping(name, clips)
    return True


def remove() -> None:
    """Put the original functions back and forget everything."""
    for restore in _restore:
        restore()
    _restore.clear()
    _sites.clear()
    _rates.clear()
    clips_until_now()


@contextmanager
def remembered() -> Iterator[None]:
    """Inside, sites are remembered."""
    installed = install()
    try:
        yield
    finally:
        if installed:
            remove()


def site_of(made: Any) -> Site | None:
    """The line that made an object, or set the probability of a dropout; None: not known."""
    known = _sites.get(id(made))
    return None if known is None or known[0]() is not made else known[1]


def rates_when_made(optimizer: Optimizer) -> tuple[Any, ...] | None:
    """The learning rate of each group when the optimizer was made; None: not known."""
    return _rates.get(optimizer)


def site_here() -> Site | None:
    """The line of the user's code that led here; None: not known."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_here(frame):
        frame = frame.f_back
    found = call_site(frame)
    if found is None or not found.place:
        return None
    # A loop of this package by its name there: its folder says nothing to a reader.
    return found._replace(place=found.place.rpartition(_LOOPS)[2])


def wait_for_clips() -> None:
    """Note the calls that clip gradients, until `clips_until_now`."""
    global _clips
    _clips = []


def clips_until_now() -> list[Clip]:
    """The calls since `wait_for_clips`; no more are noted."""
    global _clips
    found, _clips = _clips, None
    return found or []


def _is_here(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("harness.tracing.")


def _remember(made: Any) -> None:
    """Note the line that leads here, and the rates of an optimizer.

    It may fail for an odd object, of which nothing is then known.
    """
    if torch.compiler.is_compiling():
        return
    try:
        site = site_here()
        if site is not None:
            key = id(made)
            _sites[key] = weakref.ref(made, lambda _: _sites.pop(key, None)), site
        if isinstance(made, Optimizer):
            _rates[made] = tuple(group.get("lr") for group in made.param_groups)
    except Exception:  # noqa: BLE001, S110  # no fault of the harness may reach the program
        pass


def _wrap_constructor(kind: Any) -> None:
    construct = kind.__init__

    @functools.wraps(construct)
    def __init__(made: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it takes its place
        construct(made, *args, **kwargs)
        _remember(made)
        if kind is DataLoader and site_of(made._index_sampler) is None:
            _remember(made._index_sampler)  # it outlives a loader that a library replaces

    def restore() -> None:
        if kind.__init__ is __init__:
            kind.__init__ = construct

    kind.__init__ = __init__
    _restore.append(restore)


def _wrap_probability() -> None:
    """A dropout sets `p` when it is made, and a script may set it again."""
    kind: Any = torch_dropout._DropoutNd
    if "__setattr__" in kind.__dict__:
        return
    set_attribute = kind.__setattr__

    @functools.wraps(set_attribute)
    def __setattr__(module: Any, name: str, value: Any) -> None:  # noqa: N807  # it takes its place
        set_attribute(module, name, value)
        if name == "p":
            _remember(module)

    def restore() -> None:
        if kind.__dict__.get("__setattr__") is __setattr__:
            del kind.__setattr__

    kind.__setattr__ = __setattr__
    _restore.append(restore)


def _wrap_clipping(name: str, kind: str) -> None:
    original = getattr(torch_clip, name)

    @functools.wraps(original)
    def clip_gradients(*args: Any, **kwargs: Any) -> Any:
        if _clips is not None and not torch.compiler.is_compiling():
            _note_clip(kind, args, kwargs)
        return original(*args, **kwargs)

    for module in (torch.nn.utils, torch_clip):
        _replace(module, name, original, clip_gradients)


def _replace(module: Any, name: str, original: Any, function: Any) -> None:
    def restore() -> None:
        if getattr(module, name) is function:
            setattr(module, name, original)

    setattr(module, name, function)
    _restore.append(restore)


def _note_clip(kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert _clips is not None  # the caller has looked
    if len(_clips) >= _CLIPS_KEPT:
        return
    try:
        named = kwargs.get("max_norm" if kind == "norm" else "clip_value")
        limit = float(args[1] if len(args) > 1 else named)  # type: ignore[arg-type]  # else it fails
        norm = args[2] if len(args) > 2 else kwargs.get("norm_type", 2.0)
        norm_type = float(norm) if kind == "norm" else 0.0
        _clips.append(Clip(kind, limit, norm_type, site_here()))
    except Exception:  # noqa: BLE001, S110  # wrong arguments are the original's to refuse
        pass
