"""The inputs and outputs of modules are recorded at one step, and no computed value changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.results.record import SCHEMA_VERSION, Header, RecordWriter, RunRecord
from harness.spec.case import Case, RunSpec
from harness.spec.recipe import Recipe
from harness.tracing.listener import Listener
from harness.tracing.localizing_probe import LocalizingProbe
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe
from tests.support.watched_model import batch, task


class Awkward(nn.Module):
    """A classifier with difficult cases for hooks.

    It has an in-place activation, a module called twice, an output that is used twice, and a part
    that the backward pass may recompute.
    """

    def __init__(self, recompute: bool | None = None) -> None:
        """`recompute`: whether the activation checkpoint is reentrant; None: no checkpoint."""
        super().__init__()
        self.recompute = recompute
        self.embedding = nn.Embedding(10, 4)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.shared = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits [batch, 2], and the loss if labels are passed."""
        tokens = self.embedding(input_ids)
        if self.recompute is None or not torch.is_grad_enabled():
            mixed = self.block(tokens)
        else:
            mixed = checkpoint(self.block, tokens, use_reentrant=self.recompute)
        mixed = self.shared(self.shared(mixed) + tokens)
        logits = self.head(mixed.mean(dim=1))
        loss = logits.sum() if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def trained(
    folder: Path, localize_at: int | None, model: nn.Module, twice: bool = False
) -> RunRecord:
    """Three steps of two micro-batches, with an evaluation and an unused forward pass between.

    `twice`: each loss goes backward twice.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    writer = RecordWriter(folder)
    case = Case(name="probe", workload="paraphrase")
    spec = RunSpec(case=case, loop="plain", recipe=Recipe(), localize_at=localize_at)
    kind = TraceProbe if localize_at is None else LocalizingProbe
    options = TraceOptions(localize_at=localize_at)
    probe = kind(writer, Listener(), options, task=task(model), processes=1)
    torch.manual_seed(5)
    probe.watch(model, optimizer)
    for step in range(3):
        with torch.no_grad():
            model(**batch(3))
        model(**batch(0, 3))
        for rows in ((step, 3), (0, 2)):
            loss = model(**batch(*rows))["loss"]
            loss.backward(retain_graph=twice)
            if twice:
                loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    probe.close()
    assert not model._forward_hooks
    writer.close(
        Header(schema_version=SCHEMA_VERSION, spec=spec, status="completed", environment={})
    )
    return RunRecord(folder)


def awkward(recompute: bool | None = None) -> Awkward:
    """The same weights each time."""
    torch.manual_seed(1)
    return Awkward(recompute)


@pytest.mark.parametrize("recompute", [None, False, True])
def test_localizing_changes_nothing(recompute: bool | None, tmp_path: Path) -> None:
    """Every other trace equals that of a run without localization, bit for bit."""
    plain = trained(tmp_path / "plain", None, awkward(recompute))
    localized = trained(tmp_path / "localized", 2, awkward(recompute))
    for trace in ("steps", "micro_batches", "tensors"):
        assert plain.trace(trace).equals(localized.trace(trace)), trace
    assert not len(plain.trace("modules"))
    assert {2} == set(localized.trace("modules")["step"].to_pylist())


def rows_of(record: RunRecord, direction: str, micro_batch: int = 1) -> list[dict[str, Any]]:
    """The rows of one pass in their order."""
    return [
        row
        for row in record.trace("modules").to_pylist()
        if (row["direction"], row["micro_batch"]) == (direction, micro_batch)
    ]


def test_calls_are_recorded_as_they_end(tmp_path: Path) -> None:
    """Submodules come before their module, forward and backward; each call has a row."""
    record = trained(tmp_path, 2, awkward())
    forward = [(row["module"], row["call"]) for row in rows_of(record, "forward")]
    assert [
        ("embedding", 1),
        ("block.0", 1),
        ("block.1", 1),
        ("block.2", 1),
        ("block", 1),
        ("shared", 1),
        ("shared", 2),
        ("head", 1),
        ("", 1),
    ] == forward
    backward = [(row["module"], row["call"]) for row in rows_of(record, "backward", 2)]
    assert [
        ("", 1),
        ("head", 1),
        ("shared", 2),
        ("shared", 1),
        ("block.2", 1),
        ("block.1", 1),
        ("block.0", 1),
        ("block", 1),
        ("embedding", 1),
    ] == backward


@pytest.mark.parametrize("recompute", [False, True])
def test_what_is_recomputed_is_recorded_once(recompute: bool, tmp_path: Path) -> None:
    """The forward rows are the same with and without activation checkpoints."""
    plain = trained(tmp_path / "plain", 2, awkward())
    again = trained(tmp_path / "again", 2, awkward(recompute))
    assert rows_of(plain, "forward") == rows_of(again, "forward")
    if not recompute:  # a reentrant checkpoint has no graph within its forward pass
        assert rows_of(plain, "backward") == rows_of(again, "backward")


def test_a_second_backward_pass_is_recorded_once(tmp_path: Path) -> None:
    """At step 1, where the weights are the same, the modules are those of one backward pass."""
    rows = []
    for twice in (False, True):
        torch.manual_seed(3)
        made = trained(tmp_path / str(twice), 1, Awkward(), twice)
        assert 6 == len(made.micro_batches)
        assert [1, 2] == made.trace("modules")["micro_batch"].unique().to_pylist()
        rows.append(made.trace("modules").to_pylist())
    for one, two in zip(*rows, strict=True):
        names = ("module", "direction", "taken", "given", "taken_norms", "given_norms", "sketches")
        assert {name: one[name] for name in names} == {name: two[name] for name in names}


def test_the_norms_are_those_of_the_tensors(tmp_path: Path) -> None:
    """Checked for the first micro-batch, with the gradients of autograd."""
    record = trained(tmp_path, 1, awkward())
    model = awkward()
    torch.manual_seed(5)
    for rows in ((3,), (0, 3)):  # as in `trained`: each draws a mask
        model(**batch(*rows))
    output = model(**batch(0, 3))
    gradient = torch.autograd.grad(output["loss"], output["logits"])[0]
    forward, backward = (
        next(row for row in rows_of(record, direction) if row["module"] == "head")
        for direction in ("forward", "backward")
    )
    assert float(torch.linalg.vector_norm(output["logits"].detach())) == forward["given_norms"][0]
    assert float(torch.linalg.vector_norm(gradient)) == backward["taken_norms"][0]
    handed = float(torch.linalg.vector_norm(gradient @ model.head.weight.detach()))
    assert handed == pytest.approx(backward["given_norms"][0], rel=1e-6)


def test_values_are_recorded_after_the_hooks_of_the_loop(tmp_path: Path) -> None:
    """The recorder's hooks run after the loop's own hooks."""
    other = awkward()
    other.head.register_forward_hook(lambda module, args, output: output * 2)
    norms = [
        next(
            row["given_norms"][0]
            for row in rows_of(trained(tmp_path / name, 1, model), "forward")
            if row["module"] == "head"
        )
        for name, model in (("plain", awkward()), ("doubled", other))
    ]
    assert 2 * norms[0] == norms[1]


def test_a_compiled_model_is_seen_from_outside(tmp_path: Path) -> None:
    """Only the call of the model is recorded, and nothing is recompiled."""
    compiled: Any = torch.compile(awkward(), backend="eager")
    record = trained(tmp_path, 2, compiled)
    assert [("", "OptimizedModule")] == [
        (row["module"], row["kind"]) for row in rows_of(record, "forward")
    ]
    assert 1 == len(rows_of(record, "backward"))
