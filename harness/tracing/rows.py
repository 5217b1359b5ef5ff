"""The tensors of a batch, their digests, and one digest for each of its rows.

The content of a batch does not depend on the names of the arguments. Labels have a digest
of their own, since many scripts do not pass them to the model. A scalar, such as a count for the
loss, does not belong to a batch.

A row has the same digest in every script that reads it: padding and the type of integers have no
effect. So the rows of an update can be compared however it is cut into micro-batches.

The likeness of a row tells whether another content is that of the same row, changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from harness.tracing import digest
from harness.tracing.module_values import leaves

__all__ = [
    "content",
    "content_digests",
    "label_digests",
    "row_digests",
    "row_likeness",
    "tensors_of",
]

_TOKENS, _MASK = "input_ids", "attention_mask"
_LABELS = ("labels", "label", "label_ids")
_MOST_LABELS = 64  # of a larger batch no row's labels are told apart
_LIKENESS_ROWS, _LIKENESS_ELEMENTS = 64, 2**22  # of a larger batch the first rows have a likeness
_FEWEST_ROWS = 4  # with fewer, hardly anything is known of how a row differs from the others
_PARTS, _BITS = 256, 64
_NOT_PRIMARY = (_MASK, *_LABELS, "token_type_ids", "position_ids")


def tensors_of(arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors among the arguments of a forward pass that are no scalars, by name.

    What the training has computed is no part of the batch, such as the code that a decoder takes.
    """
    return {
        name: value
        for name, value in leaves(arguments)
        if isinstance(value, Tensor) and value.ndim and value.grad_fn is None
    }


def content_digests(batch: Mapping[str, Tensor]) -> dict[str, int]:
    """The digest of shape, dtype and elements of each tensor, by name."""
    return {name: digest.of_batch({"": tensor}) for name, tensor in batch.items()}


def label_digests(batch: Mapping[str, Tensor]) -> dict[str, int]:
    """The digest of the labels of each row, by name and place: `labels[3]`."""
    found = {}
    for name in _LABELS:
        labels = batch.get(name)
        if labels is not None and labels.ndim and len(labels) <= _MOST_LABELS:
            for place, row in enumerate(_on_host(labels).numpy()):
                found[f"{name}[{place}]"] = xxhash.xxh3_64_intdigest(row.tobytes())
    return found


def content(digests: Mapping[str, int]) -> tuple[int | None, int | None]:
    """One digest of the inputs of a batch, and one of its labels; None without such a tensor."""
    inputs = sorted(value for name, value in digests.items() if name not in _LABELS)
    labels = sorted(value for name, value in digests.items() if name in _LABELS)
    return _one_of(inputs), _one_of(labels)


def _one_of(digests: list[int]) -> int | None:
    return digest.combined(digests) if digests else None


def row_digests(batch: Mapping[str, Tensor], pad_token_id: int | None) -> list[int] | None:
    """One digest for each row of the primary input; None if no tensor has rows.

    The primary input is `input_ids`, or the first tensor [batch, ...]. Of tokens [batch, length]
    those count that the attention mask shows and that are no padding at an end.
    """
    primary = _primary(batch)
    if primary is None:
        return None
    values = _on_host(primary)
    if primary is not batch.get(_TOKENS) or primary.ndim != 2:
        return [xxhash.xxh3_64_intdigest(row.tobytes()) for row in values.numpy()]
    mask = batch.get(_MASK)
    if mask is None or mask.shape != primary.shape:
        mask = torch.ones_like(values)
    pad = 0 if pad_token_id is None else pad_token_id
    # As arrays: an operation on so few elements takes a tensor several times as long.
    rows, shown = values.numpy(), mask.detach().cpu().bool().numpy()
    return [
        xxhash.xxh3_64_intdigest(_stripped(row[kept], pad).tobytes())
        for row, kept in zip(rows, shown, strict=True)
    ]


def row_likeness(batch: Mapping[str, Tensor]) -> dict[str, int]:
    """64 bits for each row of the primary input, by name and place: `likeness[3]`.

    Of two rows that are alike most bits are equal. A row is described by how it differs from the
    other rows of its batch, so a shift or a scale that is common to all rows has no effect.
    """
    primary = _primary(batch)
    if primary is None or not primary.numel():
        return {}
    count = min(len(primary), _LIKENESS_ROWS, _LIKENESS_ELEMENTS * len(primary) // primary.numel())
    if count < _FEWEST_ROWS:
        return {}
    values = _on_host(primary[:count]).numpy().reshape(count, -1).astype(np.float32)
    if values.shape[1] > _PARTS:
        starts = np.linspace(0, values.shape[1], _PARTS, endpoint=False).astype(int)
        values = np.add.reduceat(values, starts, axis=1)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    bits = np.packbits(values @ _directions(values.shape[1]) > 0, axis=1)
    likeness = bits.view(np.uint64)[:, 0].tolist()
    return {f"likeness[{place}]": one for place, one in enumerate(likeness)}


@lru_cache(8)
def _directions(size: int) -> NDArray[np.float32]:
    """Random directions [size, bits], the same in every process."""
    return np.random.default_rng(size).standard_normal((size, _BITS)).astype(np.float32)


def _primary(batch: Mapping[str, Tensor]) -> Tensor | None:
    """The tensor [batch, ...] whose rows are the rows of the batch; None if there is none."""
    primary = batch.get(_TOKENS)
    if primary is None:
        named = (tensor for name, tensor in batch.items() if name not in _NOT_PRIMARY)
        primary = next((tensor for tensor in named if tensor.ndim), None)
    return primary if primary is not None and primary.ndim else None


def _stripped(row: NDArray[Any], pad: int) -> NDArray[Any]:
    """The tokens [length] without padding at either end."""
    kept = np.flatnonzero(row != pad)
    return row[kept[0] : kept[-1] + 1] if len(kept) else row[:0]


def _on_host(tensor: Tensor) -> Tensor:
    """A copy on the host whose type does not depend on how exactly a script stores it."""
    tensor = tensor.detach().to("cpu", copy=True)  # a NumPy view would fix the script's memory
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj()).contiguous()
    return (tensor.float() if tensor.is_floating_point() else tensor.long()).contiguous()
