"""The digests of tensors of which each process held a share, from the sums of the shares.

Where digests are sums over positions, a process records the sum of its share at its place in the
whole tensor (the trace `shares`), and sends nothing. The sum of a tensor is that of its shares
modulo 2^64, so its digest is the same in every layout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import xxhash

__all__ = [
    "GRADIENT",
    "STATE",
    "WEIGHT",
    "Entry",
    "Key",
    "column_of",
    "combined",
    "of_state",
    "of_sum",
    "whole_digests",
]

GRADIENT, WEIGHT, STATE = "gradient", "weight", "state."
"""Values of the column `part`. An entry of the optimizer's state has its name after `STATE`."""
_MASK = 2**64 - 1

Entry = int | str
"""One entry of an optimizer's state: the sum of a tensor, or the text of another value."""
Key = tuple[int, str, int]
"""A step, a tensor, and one of its copies."""


def of_sum(number: int, seed: int = 0) -> int:
    """The digest of a tensor from its sum. `seed`: the digest of the tensors before."""
    return xxhash.xxh3_64_intdigest(number.to_bytes(8, "little"), seed)


def of_state(entries: Mapping[str, Entry]) -> int:
    """The digest of the state that an optimizer keeps for a parameter; 0 if it keeps none."""
    digest = 0
    for name in sorted(entries):
        entry = entries[name]
        if isinstance(entry, int):
            digest = of_sum(entry, digest)
        else:
            digest = xxhash.xxh3_64_intdigest(f"{name} {entry}".encode(), digest)
    return digest


def combined(digests: Iterable[int]) -> int:
    """One digest of several digests, in their order."""
    numbers = list(digests)
    return xxhash.xxh3_64_intdigest(struct.pack(f"{len(numbers)}Q", *numbers))


def whole_digests(traces: Sequence[pa.Table]) -> dict[Key, dict[str, int | None]]:
    """The digests of each copy of a tensor, by the column of `tensors`.

    `traces`: the trace `shares` of each process. None: a process did not record its share.
    """
    parts: dict[Key, dict[str, Entry]] = {}
    missing: dict[tuple[Key, str], int] = {}
    names = ("step", "tensor", "copy", "part", "sum", "text", "holders")
    for trace in traces:
        columns = (trace[name].to_pylist() for name in names)
        for step, tensor, copy, part, number, text, holders in zip(*columns, strict=True):
            key = step, tensor, copy
            own = parts.setdefault(key, {})
            before = own.get(part, 0)
            if number is None:
                own[part] = text
            elif holders == 1 or isinstance(before, str):
                own[part] = number
            else:
                own[part] = before + number & _MASK
                missing[key, part] = missing.get((key, part), holders) - 1
    found = {key: _digests(own) for key, own in parts.items()}
    for (key, part), count in missing.items():
        if count:
            found[key][column_of(part)] = None
    return found


def column_of(part: str) -> str:
    """The column of `tensors` to which a part belongs."""
    return "optimizer_state" if part.startswith(STATE) else part


def _digests(parts: Mapping[str, Entry]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    state = {}
    for name, entry in parts.items():
        if name.startswith(STATE):
            state[name.removeprefix(STATE)] = entry
        elif isinstance(entry, int):
            found[name] = of_sum(entry)
    if state:
        found["optimizer_state"] = of_state(state)
    return found
