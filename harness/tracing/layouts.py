"""Which part of a whole tensor a process holds, read from the living `DTensor`.

`DTensor` is what FSDP2 (`fully_shard`), tensor parallelism (`parallelize_module`) and their
combinations hold. A digest that is a sum over positions needs no gathered tensor: each process adds
up its own share at its place in the whole, and `harness.results.shares` adds up the shares after
the training. So the probe sends nothing between processes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

__all__ = [
    "Piece",
    "Place",
    "Share",
    "batches_from",
    "dense",
    "local_tensor",
    "pieces",
    "share_of",
    "whole",
]


class Place(NamedTuple):
    """Where a block of elements lies in a tensor."""

    shape: tuple[int, ...]
    """The shape of the whole tensor."""
    offset: tuple[int, ...]
    """The index of the block's first element, in each dimension."""


class Share(NamedTuple):
    """The block of a tensor that this process holds, if others hold the rest."""

    place: Place
    copy: int
    """The smallest rank of the processes that together hold this copy of the tensor. Where a
    tensor is replicated too, there are several copies."""
    holders: int
    """The number of these processes."""


class Piece(NamedTuple):
    """A part of a block, as a range of its elements in row-major order.

    Element `n` of the piece has in the whole tensor the index
    `start + n // run * stride + n % run`.
    """

    begin: int
    """The first element, counted in the block."""
    size: int
    start: int
    run: int
    stride: int


def whole(value: Any) -> Any:
    """Gather a sharded tensor, and fill in a sparse one; return any other value unchanged.

    Only a digest of the bytes in their order needs this. Every process of the group must call this
    for the same tensors in the same order.
    """
    return value.full_tensor() if isinstance(value, DTensor) else dense(value)


def local_tensor(value: Any) -> Any:
    """The share of a tensor on this process; a sparse tensor is filled in.

    Only a tensor that `share_of` cannot place is gathered: one whose processes hold summands.
    """
    if not isinstance(value, DTensor):
        return dense(value)
    value = value.detach()
    return value.to_local() if _has_place(value) else value.full_tensor()


def share_of(value: Any) -> Share | None:
    """The share of a tensor that this process holds; None if it holds a whole copy."""
    if not isinstance(value, DTensor) or not _has_place(value):
        return None
    mesh = value.device_mesh
    sharded = [dim for dim, each in enumerate(value.placements) if not isinstance(each, Replicate)]
    sharded = [dim for dim in sharded if mesh.size(dim) > 1]
    coordinate = mesh.get_coordinate()
    if not sharded or coordinate is None:
        return None
    shape, offset = compute_local_shape_and_global_offset(value.shape, mesh, value.placements)
    if tuple(shape) != tuple(value.to_local().shape):
        raise ValueError(
            f"a share of shape {tuple(value.to_local().shape)} has a place of shape {shape}"
        )
    kept = tuple(slice(None) if dim in sharded else at for dim, at in enumerate(coordinate))
    holders = mesh.mesh[kept]
    return Share(Place(tuple(value.shape), tuple(offset)), int(holders.min()), int(holders.numel()))


def pieces(local: tuple[int, ...], place: Place) -> Iterator[Piece]:
    """A block of the shape `local` at its place: as few pieces as there can be."""
    shape, offset = place
    count = math.prod(local)
    sharded = [dim for dim, size in enumerate(local) if size != shape[dim]]
    if not count or not sharded:
        if count:
            yield Piece(0, count, 0, count, count)
        return
    inner = sharded[-1]
    outer = sharded[-2] if len(sharded) > 1 else 0
    strides = [math.prod(shape[dim + 1 :]) for dim in range(len(shape))]
    run, stride = local[inner] * strides[inner], shape[inner] * strides[inner]
    # Between `outer` and `inner` the block has whole dimensions, so their rows are one sequence.
    size = math.prod(local[outer:])
    start = offset[inner] * strides[inner] + (
        offset[outer] * strides[outer] if outer < inner else 0
    )
    for number, index in enumerate(itertools.product(*map(range, local[:outer]))):
        before = sum((at + offset[dim]) * strides[dim] for dim, at in enumerate(index))
        yield Piece(number * size, size, start + before, run, stride)


def batches_from(models: Iterable[nn.Module]) -> int:
    """The smallest rank of the processes that together compute one batch, as in tensor parallelism.

    These are the processes along the dimensions of a mesh that shard parameters, except those of
    FSDP, whose processes have batches of their own. A process that shares no batch: its own rank.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0
    first = torch.distributed.get_rank()
    for model in models:
        own = {name for module in model.modules() for name in _fsdp_dimensions(module)}
        for parameter in model.parameters():
            if isinstance(parameter, DTensor):
                first = min(first, _first_of_batch(parameter, own))
    return first


def _first_of_batch(parameter: DTensor, of_fsdp: set[str | None]) -> int:
    """The smallest rank along the dimensions that shard this parameter beside FSDP's."""
    mesh = parameter.device_mesh
    coordinate = mesh.get_coordinate()
    rank = torch.distributed.get_rank()
    names = mesh.mesh_dim_names or (None,) * mesh.ndim
    if coordinate is None or (None in names and of_fsdp):
        return rank  # FSDP takes a mesh without names only alone
    kept = tuple(
        slice(None) if isinstance(placement, Shard) and name not in of_fsdp else at
        for placement, name, at in zip(parameter.placements, names, coordinate, strict=True)
    )
    return int(mesh.mesh[kept].min())


def _fsdp_dimensions(module: nn.Module) -> Iterator[str | None]:
    """The dimensions over which `fully_shard` spreads a module; None: they have no names."""
    if isinstance(module, FSDPModule):
        for group in module._get_fsdp_state()._fsdp_param_groups:
            mesh = group.mesh_info.mesh
            yield from mesh.mesh_dim_names or (None,)


def _has_place(value: DTensor) -> bool:
    """Whether the local tensor is one block of the whole.

    It is not while processes hold summands of it (`Partial`), nor where FSDP splits the uneven
    blocks of tensor parallelism.
    """
    if not all(isinstance(each, Replicate) or hasattr(each, "dim") for each in value.placements):
        return False
    size = list(value.shape)
    for dim, each in enumerate(value.placements):
        factor = getattr(each, "split_factor", None)
        if factor is not None and size[_dimension(each)] % (factor * value.device_mesh.size(dim)):
            return False
    return True


def _dimension(placement: Placement) -> int:
    """The dimension of the tensor that a placement shards."""
    return int(getattr(placement, "dim", 0))


def dense(value: Any) -> Any:
    """Fill in a sparse tensor; return any other value unchanged."""
    sparse = isinstance(value, Tensor) and value.layout is not torch.strided
    return value.to_dense() if sparse else value
