"""The operations of a step are recorded with their lines of code, and the training is unchanged.

Longer than 300 lines: a training of each shape is short, and there are ten.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from harness.tracing import digest, operations
from harness.tracing.operations import OperationRecorder

Row = dict[str, Any]


def recorder(rows: list[Row]) -> OperationRecorder:
    """One whose errors reach the test, outside of every module."""
    made = OperationRecorder()
    made.connect(rows.append, lambda: "", lambda call, *args: call(*args))
    return made


@contextlib.contextmanager
def recorded(rows: list[Row]) -> Iterator[OperationRecorder]:
    """Record what runs inside."""
    mode = recorder(rows)
    mode.begin()
    try:
        yield mode
    finally:
        mode.end()


def network(sparse: bool = False) -> nn.Sequential:
    """An embedding, dropout and two layers with an activation that writes in place."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Embedding(10, 4, sparse=sparse),
        nn.Dropout(0.5),
        nn.Linear(4, 4),
        nn.ReLU(inplace=True),
        nn.Linear(4, 2),
    )


TOKENS = torch.tensor([[1, 2, 3], [4, 5, 6]])


def in_place(model: nn.Sequential) -> Tensor:
    """A loss, through an activation in place."""
    loss: Tensor = model(TOKENS).square().sum()
    return loss


def into_views(model: nn.Sequential) -> Tensor:
    """Rows of a buffer are written one by one, as of a cache."""
    buffer = torch.zeros(2, 3, 2)
    for row, tokens in enumerate(TOKENS):
        buffer[row] = model(tokens)
        buffer[row, 0].mul_(2)
    return buffer.transpose(0, 1).square().sum()


def checkpointed(model: nn.Sequential, reentrant: bool) -> Tensor:
    """The layers are computed again in the backward pass."""
    hidden = model[1](model[0](TOKENS))
    again = checkpoint(model[2:], hidden, use_reentrant=reentrant)
    assert isinstance(again, Tensor)
    return again.square().sum()


def in_bf16(model: nn.Sequential) -> Tensor:
    """Under autocast."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss: Tensor = model(TOKENS).float().square().sum()
        return loss


def with_complex_numbers(model: nn.Sequential) -> Tensor:
    """Conjugate and imaginary views are read without being written."""
    spectrum = torch.fft.fft(model(TOKENS), dim=1)
    loss: Tensor = (spectrum.conj() * spectrum).real.sum() + spectrum.imag.square().sum()
    return loss


def with_functions(model: nn.Sequential) -> Tensor:
    """Under `vmap` and `grad`, whose tensors have no memory of their own."""
    weight = model[4].weight
    mapped: Tensor = torch.func.vmap(lambda row: (weight @ row).square().sum())(torch.ones(3, 4))
    slope: Tensor = torch.func.grad(lambda value: value.square().sum())(torch.ones(3))
    return in_place(model) + mapped.sum() + slope.sum()


class Counting(TorchDispatchMode):
    """Another tool that sees each operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def under_another_mode(model: nn.Sequential) -> Tensor:
    """Another tool looks on within the step."""
    with Counting() as counting:
        loss = in_place(model)
    assert counting.count
    return loss


Loss = Callable[[nn.Sequential], Tensor]
LOSSES: dict[str, Loss] = {
    "in-place": in_place,
    "views": into_views,
    "checkpoint": lambda model: checkpointed(model, False),
    "reentrant": lambda model: checkpointed(model, True),
    "autocast": in_bf16,
    "complex": with_complex_numbers,
    "functions": with_functions,
    "another mode": under_another_mode,
    "sparse": in_place,
    "closure": in_place,
}


def training(name: str, mode: OperationRecorder | None) -> list[Tensor]:
    """Two steps: the weights, gradients, a draw that follows. The second step is recorded."""
    model = network(sparse=name == "sparse")
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(model.parameters(), lr=0.1)
        if name == "sparse"
        else torch.optim.LBFGS(model.parameters(), max_iter=2)
        if name == "closure"
        else torch.optim.AdamW(model.parameters(), lr=0.1)
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = LOSSES[name](model)
        loss.backward()
        return loss.detach()

    torch.manual_seed(2)
    for step in range(2):
        if mode is not None and step == 1:
            mode.begin()
        if name == "closure":
            optimizer.step(lambda: float(closure()))
        else:
            closure()
            optimizer.step()
    if mode is not None:
        mode.end()
    found = [value for each in model.parameters() for value in (each, each.grad)]
    return [value.to_dense() for value in found if value is not None] + [torch.rand(3)]


@pytest.mark.parametrize("name", LOSSES)
def test_recording_changes_no_bit(name: str) -> None:
    """Of a weight, a gradient, or a number that is drawn later."""
    rows: list[Row] = []
    plain, seen = training(name, None), training(name, recorder(rows))
    assert [digest.of_tensor(value) for value in plain] == [digest.of_tensor(v) for v in seen]
    assert {"aten.addmm", "aten.embedding", "aten.threshold_backward"} <= {
        row["operation"] for row in rows
    }
    files = {row["place"].rpartition(":")[0] for row in rows} - {""}
    assert {Path(__file__).name} == {Path(file).name for file in files}


def test_a_changed_bit_is_seen() -> None:
    """Control: the comparison above fails for other weights."""
    plain, other = training("in-place", None), training("views", None)
    assert [digest.of_tensor(value) for value in plain] != [digest.of_tensor(v) for v in other]


def test_a_mode_of_the_users_around_the_training_still_sees_all() -> None:
    """It is entered first, so the recorder comes before it and passes each operation on."""
    rows: list[Row] = []
    with Counting() as alone:
        plain = training("in-place", None)
    with Counting() as counting:
        seen = training("in-place", recorder(rows))
    assert rows
    assert [digest.of_tensor(value) for value in plain] == [digest.of_tensor(v) for v in seen]
    assert alone.count <= counting.count


def test_the_recorder_leaves_when_a_mode_was_entered_since() -> None:
    """Then it stays below that mode, but records no more, and its next end removes it."""
    rows: list[Row] = []
    mode = recorder(rows)
    mode.begin()
    with Counting():
        mode.end()
        torch.ones(2) + 1
        assert not rows
    mode.end()
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_an_operation_has_the_digests_of_its_tensors() -> None:
    """Those that it reads, and those that it makes, with sizes, norm and arguments."""
    one, two = torch.arange(6.0), torch.ones(6)
    rows: list[Row] = []
    with recorded(rows):
        made = torch.add(one, two, alpha=2)
    (row,) = rows
    assert ("aten.add.Tensor", ["alpha=2"]) == (row["operation"], row["arguments"])
    assert [digest.of_tensor(one), digest.of_tensor(two)] == row["inputs"]
    assert ([digest.of_tensor(made)], [6]) == (row["outputs"], row["output_sizes"])
    assert [pytest.approx(float(made.norm()))] == row["output_norms"]


def test_a_write_into_a_view_also_makes_the_whole_tensor() -> None:
    """What reads the whole tensor later reads what this operation made."""
    whole = torch.arange(6.0).view(2, 3)
    before = digest.of_tensor(whole)
    rows: list[Row] = []
    with recorded(rows):
        whole[1].copy_(torch.ones(3))
        whole.exp()
    write, read = rows[-2:]
    assert before in write["inputs"]  # whose other row stays
    assert digest.of_tensor(whole) in write["outputs"]
    assert [digest.of_tensor(whole)] == read["inputs"]


def test_what_is_written_only_is_no_input() -> None:
    """The old numbers of a buffer have no part in what is copied or drawn into it."""
    rows: list[Row] = []
    buffer = torch.arange(4.0)
    with recorded(rows):
        buffer.copy_(torch.ones(1))
        buffer.normal_()
        buffer.mul_(2)
    reads = {row["operation"]: row["input_sizes"] for row in rows}
    assert {"aten.copy_": [1], "aten.normal_": [], "aten.mul_.Tensor": [4]}.items() <= {
        **reads,
        "aten.mul_.Tensor": reads["aten.mul_.Tensor"][:1],
    }.items()
    assert [False, True, False] == [row["random"] for row in rows if row["operation"] in reads][-3:]


def test_a_backward_operation_names_the_line_of_its_forward_call() -> None:
    """Each of two products in its own line; the place itself is that of `backward`."""
    weight = torch.ones(3, 3, requires_grad=True)
    first = inspect.currentframe()
    assert first is not None
    rows: list[Row] = []
    with recorded(rows) as mode:
        line = first.f_lineno + 1
        hidden = weight @ torch.full((3, 3), 2.0)
        loss = (hidden @ torch.full((3, 3), 3.0)).sum()
        mode.phase = "backward"
        loss.backward()
    products = [row for row in rows if row["operation"] == "aten.mm" and row["phase"] == "backward"]
    lines = [int(row["forward_place"].rpartition(":")[2]) for row in products]
    assert [line + 1, line] == lines
    assert all("torch.full" in row["forward_source"] for row in products)
    assert {line + 3} == {int(row["place"].rpartition(":")[2]) for row in products}
    forward = [row for row in rows if row["phase"] == "before"]
    assert {""} == {row["forward_place"] for row in forward}


def test_what_the_harness_computes_is_not_recorded() -> None:
    """Its digests and norms run between the operations of the training."""
    rows: list[Row] = []
    value = torch.arange(8.0)[::2]
    with recorded(rows):
        digest.of_tensor(value)
        assert not rows
        value.exp()
    assert ["aten.exp"] == [row["operation"] for row in rows]


def test_nothing_is_kept_before_and_after() -> None:
    """A recorder that has not begun, or has ended, keeps no row and no tensor."""
    rows: list[Row] = []
    mode = recorder(rows)
    torch.ones(3).exp()
    mode.begin()
    made = torch.ones(1000).exp()
    mode.end()
    count = len(rows)
    torch.ones(3).exp()
    assert (2, count) == (count, len(rows))
    del made
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is Tensor and each.shape == (1000,)]


def test_an_error_of_the_recorder_never_reaches_the_training() -> None:
    """It goes to `safely`, which receives each call; the operation has run."""
    failed: list[str] = []

    def fails(row: Row) -> None:
        raise RuntimeError("planted")

    def safely(call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
        except RuntimeError as error:
            failed.append(str(error))

    mode = OperationRecorder()
    mode.connect(fails, lambda: "", safely)
    mode.begin()
    made = torch.ones(2) + 1
    mode.end()
    assert ([2.0, 2.0], ["planted"]) == (made.tolist(), failed[-1:])


def test_what_is_recorded_early_is_handed_over_once_to_the_first_training() -> None:
    """In its order and with its numbers; what comes later follows. The second training has none."""
    operations.begin_early()
    torch.ones(2) + 1
    mode = operations.taken_early()
    rows: list[Row] = []
    mode.connect(rows.append, lambda: "", lambda call, *args: call(*args))
    torch.ones(2) * 3
    mode.end()
    named = [(row["number"], row["operation"]) for row in rows]
    assert [(2, "aten.add.Tensor"), (4, "aten.mul.Tensor")] == named[1::2]
    assert operations.taken_early() is not mode


def test_the_earliest_of_too_many_early_operations_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a long preparation of the data needs no more memory."""
    monkeypatch.setattr(operations, "_EARLY", 3)
    mode = OperationRecorder()
    mode.begin()
    for _ in range(5):
        torch.ones(2) + 1
    rows: list[Row] = []
    mode.connect(rows.append, lambda: "", lambda call, *args: call(*args))
    mode.end()
    assert [8, 9, 10] == [row["number"] for row in rows]


def test_an_early_error_of_the_recorder_never_reaches_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends the recording."""

    def fails(_: object) -> int:
        raise RuntimeError("planted")

    monkeypatch.setattr(digest, "of_tensor", fails)
    mode = OperationRecorder()
    mode.begin()
    made = torch.ones(2) + 1
    mode.end()
    assert [2.0, 2.0] == made.tolist()


def test_the_seed_of_a_generator_is_an_argument() -> None:
    """So an order of rows that is drawn with another seed differs in its arguments."""
    rows: list[Row] = []
    mode = recorder(rows)
    mode.begin()
    torch.randperm(5, generator=torch.Generator().manual_seed(7))
    mode.end()
    (row,) = (row for row in rows if "randperm" in row["operation"])
    assert "generator.seed=7" in row["arguments"]


def test_an_error_of_an_operation_reaches_the_training_unchanged() -> None:
    """With no row for it; the next operation is recorded."""
    rows: list[Row] = []
    with recorded(rows):
        with pytest.raises(RuntimeError, match="size of tensor a"):
            torch.add(torch.ones(2), torch.ones(3))
        rows.clear()
        torch.zeros(2).exp()
    assert ["aten.zeros", "aten.exp"] == [row["operation"] for row in rows]
