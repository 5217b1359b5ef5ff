"""Blocks of a tensor at their places: their sums add up to that of the whole tensor."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from harness.tracing import device_digest as module
from harness.tracing.device_digest import word_sums
from harness.tracing.layouts import Place, batches_from, local_tensor, pieces, share_of, whole
from harness.tracing.sketch import Sketches

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.complex128, torch.uint8]
_MASK = 2**64 - 1


def blocks(tensor: Tensor, cuts: list[list[int]]) -> tuple[list[Tensor], list[Place]]:
    """The tensor cut at some indices of each dimension, and the place of each block."""
    ends = list(itertools.product(*(list(itertools.pairwise(cut)) for cut in cuts)))
    found = [tensor[tuple(slice(*end) for end in one)] for one in ends]
    places = [Place(tuple(tensor.shape), tuple(start for start, _ in one)) for one in ends]
    return found, places


@pytest.mark.parametrize("at_once", [5, 1 << 24])
def test_the_sums_of_blocks_add_up(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Of tensors with up to four dimensions, cut anywhere in any of them, also into nothing."""
    monkeypatch.setattr(module, "_MAX_WORDS", at_once)
    draw = random.Random(3)
    torch.manual_seed(3)
    for _ in range(60):
        shape = [draw.randint(1, 6) for _ in range(draw.randint(1, 4))]
        tensor = (9 * torch.randn(shape)).to(draw.choice(DTYPES))
        cuts = [
            [0, *sorted(draw.choices(range(size + 1), k=draw.randint(0, 2))), size]
            for size in shape
        ]
        found, places = blocks(tensor, cuts)
        assert word_sums([tensor]) == [sum(word_sums(found, places)) & _MASK]


def test_a_block_at_another_place_has_another_sum() -> None:
    """The control: two halves of equal size that are exchanged."""
    tensor = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    found, places = blocks(tensor, [[0, 4], [0, 3, 6]])
    exchanged = sum(word_sums(found[::-1], places)) & _MASK
    assert word_sums([tensor]) != [exchanged]


def test_a_block_has_as_few_pieces_as_there_can_be() -> None:
    """By hand: rows, columns, and both of a tensor with three dimensions."""
    place = Place((4, 6, 5), (2, 0, 0))
    assert [(0, 60, 60, 60)] == [
        (p.begin, p.size, p.start, p.run) for p in pieces((2, 6, 5), place)
    ]
    columns = list(pieces((4, 3, 5), Place((4, 6, 5), (0, 3, 0))))
    assert [(0, 60, 15, 15, 30)] == [tuple(piece) for piece in columns]
    both = list(pieces((2, 6, 2), Place((4, 6, 5), (2, 0, 1))))
    assert [(0, 24, 61, 2, 5)] == [tuple(piece) for piece in both]
    assert [2, 2] == [piece.size // 4 for piece in pieces((2, 2, 4), Place((4, 6, 5), (0, 1, 0)))]
    assert [] == list(pieces((0, 6, 5), Place((4, 6, 5), (4, 0, 0))))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A group of this process alone."""
    store = tmp_path_factory.mktemp("group") / "store"
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_a_process_that_holds_everything_has_no_share() -> None:
    """Replicated, or sharded over one process."""
    mesh = init_device_mesh("cpu", (1,))
    for placement in (Replicate(), Shard(0)):
        tensor = distribute_tensor(torch.ones(4, 2), mesh, [placement])
        assert share_of(tensor) is None
        assert torch.equal(torch.ones(4, 2), local_tensor(tensor))
        assert torch.equal(torch.ones(4, 2), whole(tensor))
    assert share_of(torch.ones(3)) is None
    assert 0 == batches_from([nn.Linear(2, 2)])


def test_a_sparse_tensor_is_filled_in() -> None:
    """By both ways of reading."""
    sparse = torch.eye(3).to_sparse()
    assert torch.equal(torch.eye(3), local_tensor(sparse))
    assert torch.equal(torch.eye(3), whole(sparse))


def test_sketches_of_blocks_add_up(tmp_path: Path) -> None:
    """To the sketch of the whole tensor; the control is a block at another place."""
    tensor = torch.arange(24, dtype=torch.float64).view(4, 6)
    found, places = blocks(tensor, [[0, 1, 4], [0, 4, 6]])
    sketches = Sketches()
    parts = [sketches.of("24", one, place) for one, place in zip(found, places, strict=True)]
    assert sketches.of("24", tensor) == [sum(column) for column in zip(*parts, strict=True)]
    moved = sketches.of("24", found[0], Place((4, 6), (1, 0)))
    assert parts[0] != moved
