"""The kernel gives the sums of torch's operations: in Triton's interpreter, and on a GPU."""

from __future__ import annotations

import importlib.util
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.tracing import device_digest
from harness.tracing.device_digest import implementation, word_sums
from harness.tracing.layouts import Place

ROOT = Path(__file__).parents[2]
MISSING = importlib.util.find_spec("triton") is None
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
_MASK = 2**64 - 1


def cases(device: str, largest: int) -> list[tuple[list[Tensor], list[Place | None]]]:
    """Tensors of all types in one call: strided, empty, large; and the blocks of one tensor."""
    draw = random.Random(5)
    torch.manual_seed(5)

    def some(*shape: int) -> Tensor:
        return (3 * torch.randn(shape)).to(draw.choice(DTYPES)).to(device)

    mixed = [some(draw.choice([0, 1, 7, 1000, 20_000])) for _ in range(24)]
    strided = [some(6, 8).t(), some(10, 4)[:, ::2], torch.tensor(2.0, device=device)]
    whole = some(6, 10, 3)
    ends = [[(0, 2), (2, 6)], [(0, 3), (3, 10)], [(0, 1), (1, 3)]]
    blocks = list(itertools.product(*ends))
    shares = [whole[tuple(slice(*end) for end in block)] for block in blocks]
    places: list[Place | None] = [Place((6, 10, 3), (a[0], b[0], c[0])) for a, b, c in blocks]
    return [
        ([*mixed, *strided], [None] * 27),
        ([*shares, whole], [*places, None]),
        ([some(largest)], [None]),
    ]


def check(device: str, kernel: Callable[..., None], largest: int) -> None:
    """Compare both ways; the sums of blocks add up; a changed bit changes the sum."""
    for tensors, places in cases(device, largest):
        found = []
        for used in (None, kernel):
            device_digest._kernel_of = lambda _device, used=used: used  # type: ignore[misc]  # the caller restores it
            found.append(word_sums(tensors, places))
        assert found[0] == found[1]
        *shares, last = found[1]
        if places[0] is not None:
            assert last == sum(shares) & _MASK
        tensors[-1].view(-1).view(torch.uint8)[-1] ^= 1
        assert found[1] != word_sums(tensors, places)


@pytest.mark.skipif(MISSING, reason="Triton is not installed; torch's builds for CUDA bring it")
def test_in_the_interpreter() -> None:
    """It is chosen when Triton is imported, so in a process of its own."""
    program = "from tests.tracing.test_triton_kernel import interpreted; interpreted()"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "equal" == done.stdout.strip(), done.stderr[-2000:]


def interpreted() -> None:
    """Compare on the CPU, whose memory the interpreter reads."""
    from harness.tracing.triton_kernel import add_sums

    check("cpu", add_sums, 70_000)
    sys.stdout.write("equal\n")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a tensor with more than 2**24 words."""
    kernel = device_digest._cuda_kernel()
    assert kernel is not None, implementation(torch.device("cuda"))
    monkeypatch.setattr(device_digest, "_kernel_of", None)  # restored after the test
    check("cuda", kernel, 20_000_000)


def test_without_it_torch_computes_the_sums_and_the_record_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On CUDA; on a CPU it is never used."""
    monkeypatch.setattr(device_digest, "_cuda_kernel", lambda: None)
    assert "slower: Triton is not installed" in implementation(torch.device("cuda"))
    assert "operations of torch" == implementation(torch.device("cpu"))
    monkeypatch.setattr(device_digest, "_cuda_kernel", lambda: check)
    assert "a Triton kernel" == implementation(torch.device("cuda"))
    assert "operations of torch" == implementation(torch.device("cpu"))
