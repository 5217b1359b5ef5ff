"""Digests of tensors and generators: equal for equal bits, sensitive to each bit and its position.

There are two algorithms; neither protects against deliberate forgery. On the host, XXH3 reads a
tensor at the memory's bandwidth and, unlike sums and norms, is sensitive to order. On an
accelerator, where a copy of every tensor would cost more than the step, `word_sums` runs on the
device and only its results are copied. The two give different numbers, so runs can be compared only
if they used the same algorithm. A process uses one of them.
"""

from __future__ import annotations

import ctypes
import os
import random
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash

from harness.results import shares
from harness.results.shares import GRADIENT, STATE, WEIGHT, Entry, combined
from harness.tracing.device_digest import word_sums
from harness.tracing.layouts import Share, dense, local_tensor, share_of, whole

__all__ = [
    "GRADIENT",
    "HOST",
    "ON_DEVICE",
    "Digests",
    "Generators",
    "PartSum",
    "algorithm",
    "choose",
    "combined",
    "of_batch",
    "of_generators",
    "of_parameters",
    "of_state",
    "of_tensor",
    "of_torch_generators",
    "readable",
    "use",
]

HOST, ON_DEVICE = "xxh3_64", "splitmix64_sums"
_MIN_ELEMENTS = 100_000  # the least work that is worth handing to another thread

_chosen = HOST
_own_generator = True


def use(name: str) -> None:
    """Select the algorithm for this process: `HOST` or `ON_DEVICE`. Raises `ValueError`."""
    global _chosen
    if name not in (HOST, ON_DEVICE):
        raise ValueError(f"unknown digest algorithm {name!r}: use {HOST} or {ON_DEVICE}")
    _chosen = name


def choose(name: str | None, device: torch.device, own_generator: bool = True) -> None:
    """Select the algorithm that is wanted: that of the `host`, of the `device`, or None: of the
    device on which tensors are trained.

    `own_generator`: numbers may be drawn from the device's own generator, so it is digested too.
    """
    global _own_generator
    _own_generator = own_generator
    on_host = name == "host" or (name is None and device.type == "cpu")
    use(HOST if on_host else ON_DEVICE)


def algorithm() -> str:
    """The selected algorithm."""
    return _chosen


def of_tensor(tensor: torch.Tensor, seed: int = 0) -> int:
    """64-bit digest of a tensor's elements in row-major order; shape and dtype have no effect.

    `seed`: the digest of the tensors before, if one digest covers several tensors.
    """
    if _chosen == ON_DEVICE:
        return shares.of_sum(word_sums([tensor])[0], seed)
    tensor = tensor.detach()
    if not (tensor.is_cpu and tensor.is_contiguous()):
        tensor = tensor.cpu().contiguous()
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    size, address = tensor.nbytes, tensor.data_ptr()
    if not size:
        return xxhash.xxh3_64_intdigest(b"", seed)
    end = tensor.storage_offset() * tensor.element_size() + size
    if not address or tensor.untyped_storage().nbytes() < end:
        raise ValueError(f"a {type(tensor).__name__} without memory of its own cannot be read")
    # Not through NumPy: after that torch refuses to resize the memory, as FSDP does.
    return xxhash.xxh3_64_intdigest(_bytes(size).from_address(address), seed)


@lru_cache(4096)
def _bytes(size: int) -> type[ctypes.Array[ctypes.c_ubyte]]:
    """The type of that many bytes of memory."""
    return ctypes.c_ubyte * size


def of_batch(batch: Mapping[str, torch.Tensor]) -> int:
    """Digest of a batch: each tensor's name, shape, dtype and elements."""
    digest = 0
    for name, tensor in sorted(batch.items()):
        head = f"{name} {tuple(tensor.shape)} {tensor.dtype}"
        digest = of_tensor(tensor, xxhash.xxh3_64_intdigest(head.encode(), digest))
    return digest


def of_state(state: Mapping[str, object]) -> int:
    """Digest of one parameter's optimizer state; 0 if it is empty."""
    digest = 0
    for name in sorted(state):
        value = state[name]
        if isinstance(value, torch.Tensor):
            digest = of_tensor(value, digest)
        elif value is not None:
            digest = xxhash.xxh3_64_intdigest(f"{name} {value!r}".encode(), digest)
    return digest


class Digests(NamedTuple):
    """The digests of a parameter, or of its gradient, and of its optimizer state."""

    value: int
    state: int
    sums: tuple[PartSum, ...] = ()
    """If a part of it is a share of a larger tensor, all of its parts. The digests are then those
    of the shares, and say nothing of the whole."""


class PartSum(NamedTuple):
    """The sum of one tensor of a parameter, or the text of another value in its state."""

    part: str
    sum: int | None
    text: str | None
    share: Share | None


def of_parameters(
    parameters: Sequence[tuple[torch.Tensor, Mapping[str, object]]], part: str = WEIGHT
) -> list[Digests]:
    """The digests of each parameter, or of the `part` of it that is passed, and of its state.

    Large tensors are read in parallel: hashing releases the interpreter's lock, and one core alone
    does not use the memory's whole bandwidth. On an accelerator all are read at once. The tensors
    are those that `readable` returns.
    """
    if _chosen == ON_DEVICE:
        return _of_parameters_on_device(parameters, part)

    def both(pair: tuple[torch.Tensor, Mapping[str, object]]) -> Digests:
        return Digests(of_tensor(pair[0]), of_state(pair[1]))

    large = sorted(
        (number for number, pair in enumerate(parameters) if pair[0].numel() >= _MIN_ELEMENTS),
        key=lambda number: -parameters[number][0].numel(),
    )
    submitted = {number: _pool().submit(both, parameters[number]) for number in large}
    return [
        submitted[number].result() if number in submitted else both(pair)
        for number, pair in enumerate(parameters)
    ]


def readable(value: object) -> Any:
    """A tensor as the algorithm reads it: gathered for the host's, which reads whole tensors.

    Every process of the group must call this for the same tensors in the same order.
    """
    return dense(value) if _chosen == ON_DEVICE else whole(value)


def _of_parameters_on_device(
    parameters: Sequence[tuple[torch.Tensor, Mapping[str, object]]], part: str
) -> list[Digests]:
    """As `of_parameters`. A state may be on another device: AdamW counts steps on the CPU."""
    found: list[list[PartSum]] = []
    by_device: dict[torch.device, list[tuple[int, int, torch.Tensor]]] = {}
    for number, (value, state) in enumerate(parameters):
        entries = {part: value, **{f"{STATE}{name}": state[name] for name in sorted(state)}}
        found.append([])
        for name, entry in entries.items():
            if isinstance(entry, torch.Tensor):
                local = local_tensor(entry)
                place = number, len(found[number]), local
                by_device.setdefault(local.device, []).append(place)
                found[number].append(PartSum(name, None, None, share_of(entry)))
            elif entry is not None:
                found[number].append(PartSum(name, None, repr(entry), None))
    for tensors in by_device.values():
        held = [found[number][at].share for number, at, _ in tensors]
        places = [None if share is None else share.place for share in held]
        sums = word_sums([tensor for _, _, tensor in tensors], places)
        for (number, at, _), one in zip(tensors, sums, strict=True):
            found[number][at] = found[number][at]._replace(sum=one)
    return [_digests(sums) for sums in found]


def _digests(sums: Sequence[PartSum]) -> Digests:
    first, *rest = sums
    assert first.sum is not None
    entries: dict[str, Entry] = {
        each.part.removeprefix(STATE): (each.text or "") if each.sum is None else each.sum
        for each in rest
    }
    shared = any(each.share is not None for each in sums)
    return Digests(
        shares.of_sum(first.sum), shares.of_state(entries), tuple(sums) if shared else ()
    )


@cache
def _pool() -> ThreadPoolExecutor:
    """Created at its first use, so in the process that uses it."""
    return ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))


class Generators(NamedTuple):
    """Digests of the states of the global random generators."""

    torch: int
    """torch's generator on the CPU, and that of the device if it is another."""
    python: int
    """Python's generator, in the module `random`."""
    numpy: int
    """NumPy's generator."""


def of_generators(device: torch.device) -> Generators:
    """Digests of the states of torch's, Python's and NumPy's global generators."""
    python = random.getstate()[1]
    numpy = np.random.get_state(legacy=False)["state"]
    return Generators(
        torch=of_torch_generators(device),
        python=xxhash.xxh3_64_intdigest(struct.pack(f"{len(python)}Q", *python)),
        numpy=xxhash.xxh3_64_intdigest(numpy["key"].tobytes(), int(numpy["pos"])),
    )


def of_torch_generators(device: torch.device) -> int:
    """Digest of the state of torch's generator on the CPU, and of the device if it is another."""
    digest = of_tensor(torch.get_rng_state())
    if device.type != "cpu" and _own_generator:
        digest = of_tensor(torch.get_device_module(device).get_rng_state(), digest)
    return digest
