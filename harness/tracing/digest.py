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
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import torch
import xxhash

from harness.tracing.device_digest import word_sums

__all__ = [
    "HOST",
    "ON_DEVICE",
    "Generators",
    "algorithm",
    "combined",
    "of_batch",
    "of_generators",
    "of_parameters",
    "of_state",
    "of_tensor",
    "of_torch_generators",
    "use",
]

HOST, ON_DEVICE = "xxh3_64", "splitmix64_sums"
_MIN_ELEMENTS = 100_000  # the least work that is worth handing to another thread

_chosen = HOST


def use(name: str) -> None:
    """Select the algorithm for this process: `HOST` or `ON_DEVICE`. Raises `ValueError`."""
    global _chosen
    if name not in (HOST, ON_DEVICE):
        raise ValueError(f"unknown digest algorithm {name!r}: use {HOST} or {ON_DEVICE}")
    _chosen = name


def algorithm() -> str:
    """The selected algorithm."""
    return _chosen


def of_tensor(tensor: torch.Tensor, seed: int = 0) -> int:
    """64-bit digest of a tensor's elements in row-major order; shape and dtype have no effect.

    `seed`: the digest of the tensors before, if one digest covers several tensors.
    """
    if _chosen == ON_DEVICE:
        return _of_sum(word_sums([tensor])[0], seed)
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


def _of_sum(number: int, seed: int) -> int:
    return xxhash.xxh3_64_intdigest(number.to_bytes(8, "little"), seed)


def of_batch(batch: Mapping[str, torch.Tensor]) -> int:
    """Digest of a batch: each tensor's name, shape, dtype and elements."""
    digest = 0
    for name, tensor in sorted(batch.items()):
        head = f"{name} {tuple(tensor.shape)} {tensor.dtype}"
        digest = of_tensor(tensor, xxhash.xxh3_64_intdigest(head.encode(), digest))
    return digest


def of_state(state: Mapping[str, object], sums: Mapping[torch.Tensor, int] | None = None) -> int:
    """Digest of one parameter's optimizer state; 0 if it is empty.

    `sums`: the word sums of its tensors, if they are already computed.
    """
    digest = 0
    for name in sorted(state):
        value = state[name]
        if isinstance(value, torch.Tensor):
            digest = _of_sum(sums[value], digest) if sums else of_tensor(value, digest)
        elif value is not None:
            digest = xxhash.xxh3_64_intdigest(f"{name} {value!r}".encode(), digest)
    return digest


def of_parameters(
    parameters: Sequence[tuple[torch.Tensor, Mapping[str, object]]],
) -> list[tuple[int, int]]:
    """The digests of each parameter and of its optimizer state.

    Large tensors are read in parallel: hashing releases the interpreter's lock, and one core alone
    does not use the memory's whole bandwidth. On an accelerator all are read at once.
    """
    if _chosen == ON_DEVICE:
        return _of_parameters_on_device(parameters)

    def both(pair: tuple[torch.Tensor, Mapping[str, object]]) -> tuple[int, int]:
        return of_tensor(pair[0]), of_state(pair[1])

    large = sorted(
        (number for number, pair in enumerate(parameters) if pair[0].numel() >= _MIN_ELEMENTS),
        key=lambda number: -parameters[number][0].numel(),
    )
    submitted = {number: _pool().submit(both, parameters[number]) for number in large}
    return [
        submitted[number].result() if number in submitted else both(pair)
        for number, pair in enumerate(parameters)
    ]


def _of_parameters_on_device(
    parameters: Sequence[tuple[torch.Tensor, Mapping[str, object]]],
) -> list[tuple[int, int]]:
    """As `of_parameters`. A state may be on another device: AdamW counts steps on the CPU."""
    by_device: dict[torch.device, list[torch.Tensor]] = {}
    for weight, state in parameters:
        for value in (weight, *state.values()):
            if isinstance(value, torch.Tensor):
                by_device.setdefault(value.device, []).append(value)
    sums: dict[torch.Tensor, int] = {}
    for tensors in by_device.values():
        sums |= zip(tensors, word_sums(tensors), strict=True)
    return [(_of_sum(sums[weight], 0), of_state(state, sums)) for weight, state in parameters]


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
    if device.type != "cpu":
        digest = of_tensor(torch.get_device_module(device).get_rng_state(), digest)
    return digest


def combined(digests: Iterable[int]) -> int:
    """One digest of several digests, in their order."""
    numbers = list(digests)
    return xxhash.xxh3_64_intdigest(struct.pack(f"{len(numbers)}Q", *numbers))
