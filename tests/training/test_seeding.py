"""Seeding repeats every generator, and draws inside a guard are undone."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from harness.tracing.digest import of_generators
from harness.training.seeding import (
    deterministic_flags,
    generators_restored,
    make_deterministic,
    refused_operation,
    seed_everything,
)

_CPU = torch.device("cpu")


def test_the_same_seed_gives_the_same_generators() -> None:
    """The same seed gives all generators the same state; another seed gives another state."""
    seed_everything(3)
    first = of_generators(_CPU)
    torch.rand(2)
    assert first != of_generators(_CPU)
    seed_everything(3)
    assert first == of_generators(_CPU)
    seed_everything(4)
    assert first != of_generators(_CPU)


def test_draws_inside_the_guard_are_undone() -> None:
    """The states are restored also after an error inside the guard."""
    seed_everything(3)
    before = of_generators(_CPU)
    with generators_restored():
        random.random()
        np.random.random()
        torch.rand(1)
        assert before != of_generators(_CPU)
    assert before == of_generators(_CPU)


@pytest.fixture
def switches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restores what deterministic mode sets."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    before = deterministic_flags()
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    cudnn.benchmark = before["cudnn_benchmark"]
    cudnn.deterministic = before["cudnn_deterministic"]
    cudnn.allow_tf32 = before["tf32_cudnn"]
    cuda.matmul.allow_tf32 = before["tf32_matmul"]
    for name in ("flash", "mem_efficient", "cudnn", "math"):
        getattr(cuda, f"enable_{name}_sdp")(name in before["attention"])


@pytest.mark.usefixtures("switches")
def test_cuda_is_made_deterministic_before_its_initialization(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workspace, cuDNN, TF32 and attention are set for CUDA and stay unchanged for the CPU."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    make_deterministic(_CPU, 1)
    assert deterministic_flags()["cudnn_benchmark"]
    assert None is deterministic_flags()["CUBLAS_WORKSPACE_CONFIG"]

    make_deterministic(torch.device("cuda"), 1)
    assert {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "cudnn_benchmark": False,
        "cudnn_deterministic": True,
        "tf32_matmul": False,
        "tf32_cudnn": False,
        "attention": ["math"],
    } == deterministic_flags()
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.usefixtures("switches")
@pytest.mark.parametrize(
    ("workspace", "accepted"), [(":4096:8", True), (":16:8", True), (":8:8", False), ("", False)]
)
def test_a_late_call_is_refused(
    monkeypatch: pytest.MonkeyPatch, workspace: str, accepted: bool
) -> None:
    """After CUDA is initialized the workspace cannot change; a valid one is kept."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", workspace)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    if accepted:
        make_deterministic(torch.device("cuda"), 1)
        assert workspace == deterministic_flags()["CUBLAS_WORKSPACE_CONFIG"]
    else:
        with pytest.raises(RuntimeError, match="CUDA was initialized before"):
            make_deterministic(torch.device("cuda"), 1)


@pytest.mark.usefixtures("switches")
def test_a_refused_operation_is_named() -> None:
    """The name comes from torch's error; another error gives None."""
    make_deterministic(_CPU, 1)
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))
    assert "put_" == refused_operation(caught.value)
    assert None is refused_operation(RuntimeError("out of memory"))
    blas = "this operation is not deterministic because it uses CuBLAS and you have CUDA >= 10.2"
    assert "a cuBLAS call" == refused_operation(RuntimeError(blas))


@pytest.mark.slow
# Inductor's imports use deprecated parts of torch.
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
@pytest.mark.parametrize("deterministic", [False, True])
def test_inductor_adds_embedding_gradients_up_in_one_order(deterministic: bool) -> None:
    """By itself it compiles them to atomic additions, whose order is the threads'; not after this.

    That is why a compiled loop differed from itself on two threads.
    """
    from torch._inductor.utils import run_and_get_code

    threads = torch.get_num_threads()
    make_deterministic(torch.device("cpu"), 2)
    torch.use_deterministic_algorithms(deterministic)
    try:
        table = torch.nn.Embedding(64, 8)

        def step(rows: torch.Tensor) -> None:
            torch.compile(table, backend="inductor")(rows).square().sum().backward()

        _, codes = run_and_get_code(step, torch.randint(64, (300,)))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
        torch._dynamo.reset()
    assert (not deterministic) == ("atomic_add" in "".join(codes))
