"""Digests of tensors and generators: equal for equal bits, sensitive to each bit and its place.

Two algorithms, neither against a forger. On the host, XXH3 reads a tensor's memory at the machine's
bandwidth and sees order, which sums and norms do not. On another device, where a copy of every
tensor would cost more than the step, its `word_sums` are taken there and only they are copied. The
two give other numbers, so runs that are to be compared use the same; a process uses one.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
import xxhash

from harness.tracing.device_digest import word_sums

__all__ = [
    "HOST",
    "ON_DEVICE",
    "algorithm",
    "combined",
    "of_batch",
    "of_generators",
    "of_parameters",
    "of_state",
    "of_tensor",
    "use",
]

HOST, ON_DEVICE = "xxh3_64", "splitmix64_sums"
_LARGE = 100_000  # elements from which another thread is worth its start


_chosen = HOST


def use(name: str) -> None:
    """Take all digests of this process by that algorithm from now on."""
    global _chosen
    if name not in (HOST, ON_DEVICE):
        raise ValueError(f"no such digest: {name}")
    _chosen = name


def algorithm() -> str:
    """The one in use."""
    return _chosen


def of_tensor(tensor: torch.Tensor, seed: int = 0) -> int:
    """64-bit digest of a tensor's elements in row-major order; shape and dtype do not enter.

    `seed`: the digest of what came before, where one digest is to cover several tensors.
    """
    if _chosen == ON_DEVICE:
        return _of_sum(word_sums([tensor])[0], seed)
    if tensor.dtype is torch.float32 and tensor.device.type == "cpu" and tensor.is_contiguous():
        return xxhash.xxh3_64_intdigest(tensor.detach().numpy().data, seed)  # in fewer calls
    flat = tensor.detach().cpu().contiguous().view(-1)
    return xxhash.xxh3_64_intdigest(flat.view(torch.uint8).numpy().data, seed)


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
    """Digest of one parameter's optimizer state; 0 where there is none yet.

    `sums`: word sums of its tensors, where they were taken before.
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
    """For each parameter and its optimizer state the digests of both.

    Large ones are read side by side: hashing leaves the interpreter's lock, and one core alone
    does not fill the memory's bandwidth. On a device all are read at once.
    """
    if _chosen == ON_DEVICE:
        return _of_parameters_on_device(parameters)

    def both(pair: tuple[torch.Tensor, Mapping[str, object]]) -> tuple[int, int]:
        return of_tensor(pair[0]), of_state(pair[1])

    large = sorted(
        (number for number, pair in enumerate(parameters) if pair[0].numel() >= _LARGE),
        key=lambda number: -parameters[number][0].numel(),
    )
    under_way = {number: _pool().submit(both, parameters[number]) for number in large}
    return [
        under_way[number].result() if number in under_way else both(pair)
        for number, pair in enumerate(parameters)
    ]


def _of_parameters_on_device(
    parameters: Sequence[tuple[torch.Tensor, Mapping[str, object]]],
) -> list[tuple[int, int]]:
    """As `of_parameters`. Tensors of a state may live elsewhere: AdamW counts steps on the CPU."""
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
    """Made when first needed, hence in the process that uses it."""
    return ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))


def of_generators(device: torch.device) -> int:
    """Digest of the states of Python's, NumPy's and torch's global generators."""
    python = random.getstate()[1]
    digest = xxhash.xxh3_64_intdigest(struct.pack(f"{len(python)}Q", *python))
    numpy = np.random.get_state(legacy=False)["state"]
    digest = xxhash.xxh3_64_intdigest(numpy["key"].tobytes(), digest ^ int(numpy["pos"]))
    digest = of_tensor(torch.get_rng_state(), digest)
    if device.type != "cpu":
        digest = of_tensor(torch.get_device_module(device).get_rng_state(), digest)
    return digest


def combined(digests: Iterable[int]) -> int:
    """One digest of several, in their order."""
    numbers = list(digests)
    return xxhash.xxh3_64_intdigest(struct.pack(f"{len(numbers)}Q", *numbers))
