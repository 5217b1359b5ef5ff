"""The tensors of a batch, their digests, and one digest for each of its rows.

The content of a batch does not depend on the names of the arguments. Labels have a digest
of their own, since many scripts do not pass them to the model. A scalar, such as a count for the
loss, does not belong to a batch.

A row has the same digest in every script that reads it: padding and the type of integers have no
effect. So the rows of an update can be compared however it is cut into micro-batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from harness.tracing import digest
from harness.tracing.module_values import leaves

__all__ = ["content", "content_digests", "label_digests", "row_digests", "tensors_of"]

_TOKENS, _MASK = "input_ids", "attention_mask"
_LABELS = ("labels", "label", "label_ids")
_MOST_LABELS = 64  # of a larger batch no row's labels are told apart
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
    primary = batch.get(_TOKENS)
    if primary is None:
        named = (tensor for name, tensor in batch.items() if name not in _NOT_PRIMARY)
        primary = next((tensor for tensor in named if tensor.ndim), None)
    if primary is None or not primary.ndim:
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
