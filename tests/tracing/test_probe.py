"""The probe records what a loop computes before the loop can change it, and changes nothing."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow.compute as pc
import pytest
import torch
from datasets import Dataset
from torch import Tensor, nn

from harness.errors import RecordError
from harness.results.levels import NOT_RECORDED
from harness.results.record import SCHEMA_VERSION, Header, RecordWriter, RunRecord
from harness.spec.case import Case, RunSpec
from harness.spec.recipe import DETAILS, Detail, Recipe
from harness.tracing import tensors
from harness.tracing.digest import of_tensor
from harness.tracing.hooks import Listener
from harness.tracing.probe import TraceProbe
from harness.tracing.sketch import Sketches
from harness.tracing.timing_probe import TimingProbe
from harness.training.workload import Workload

ROWS = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [2, 4, 6]]


class Classifier(nn.Module):
    """Embeds tokens, applies dropout and returns two logits; is called as the workloads' models."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits [batch, 2], and the loss if labels are passed."""
        logits = self.head(self.dropout(self.embedding(input_ids)).mean(dim=1))
        loss = logits.sum() if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def workload(model: nn.Module, world_size: int = 1) -> Workload:
    """Four rows of three tokens."""
    rows = Dataset.from_dict(
        {"input_ids": ROWS, "attention_mask": [[1, 1, 1]] * 4, "labels": [0, 1, 1, 0]}
    ).with_format("torch")
    part = SimpleNamespace(
        model=model,
        train_set=rows,
        loss=nn.functional.cross_entropy,
        device=torch.device("cpu"),
        world_size=world_size,
        collate=torch.utils.data.default_collate,
        targets=lambda labels: labels,
        loss_metrics={},
    )
    return cast(Workload, part)


def batch(*rows: int) -> dict[str, Tensor]:
    """The batch of those rows."""
    tokens = torch.tensor([ROWS[row] for row in rows])
    labels = torch.tensor([[0, 1, 1, 0][row] for row in rows])
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": labels}


class Notifications(Listener):
    """Keeps its notifications."""

    def __init__(self) -> None:
        self.before: list[int] = []
        self.after: list[int] = []
        self.checkpoints: list[Path] = []

    def before_step(self, step: int) -> None:
        """Keep it."""
        self.before.append(step)

    def after_step(self, step: int) -> None:
        """Keep it."""
        self.after.append(step)

    def saved(self, checkpoint: Path) -> None:
        """Keep it."""
        self.checkpoints.append(checkpoint)


class Watched:
    """A model, an optimizer, and a trace probe on both."""

    def __init__(
        self,
        folder: Path,
        seed: int = 1,
        compiled_by: Any = None,
        sketch: bool = False,
        world_size: int = 1,
        detail: Detail = "full",
        momentum: float = 0.0,
    ) -> None:
        torch.manual_seed(seed)
        self.model: Any = Classifier()
        if compiled_by is not None:
            self.model = torch.compile(self.model, backend=compiled_by)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.5, momentum=momentum)
        self.writer = RecordWriter(folder)
        self.listener = Notifications()
        case = Case(name="probe", workload="paraphrase")
        self.spec = RunSpec(case=case, loop="plain", recipe=Recipe(), sketch=sketch, detail=detail)
        given = workload(self.model, world_size)
        self.probe = TraceProbe(self.writer, self.listener, given, self.spec, steps_expected=8)
        self.probe.watch(self.model, self.optimizer)

    def backward(self, *rows: int, **changed: Any) -> None:
        """One forward and backward pass."""
        self.model(**{**batch(*rows), **changed})["loss"].backward()

    def step(self) -> None:
        """One update."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    def record(self) -> RunRecord:
        """What was recorded."""
        self.probe.close()
        self.writer.close(
            Header(
                schema_version=SCHEMA_VERSION,
                spec=self.spec,
                status="completed",
                environment={},
                settings=self.probe.counts.settings,
                observed=self.probe.counts.observed,
            )
        )
        return RunRecord(self.writer.folder)


def test_rows_losses_and_counts_are_recorded(tmp_path: Path) -> None:
    """Each micro-batch is recorded at its step with its rows and the task's loss."""
    watched = Watched(tmp_path)
    watched.backward(2, 0)
    watched.backward(3)
    watched.step()
    watched.backward(1, 2)
    watched.step()
    micro = watched.record().micro_batches.to_pylist()

    assert [(1, 1), (1, 2), (2, 1)] == [(row["step"], row["micro_batch"]) for row in micro]
    assert [[2, 0], [3], [1, 2]] == [row["sample_ids"] for row in micro]
    assert [1, 2] == watched.listener.before == watched.listener.after
    counts = watched.probe.counts
    assert (2, 3, 5, 50) == (counts.steps, counts.micro_batches, counts.samples, counts.parameters)


def test_the_recorded_loss_is_that_of_the_task(tmp_path: Path) -> None:
    """A loop that multiplies its loss is recorded with the same loss and other gradients."""
    losses, norms = [], []
    for scale in (1.0, 8.0):
        watched = Watched(tmp_path / str(scale))
        (watched.model(**batch(0, 1))["loss"] * scale).backward()
        watched.step()
        record = watched.record()
        losses.append(record.micro_batches["loss"][0].as_py())
        norms.append(record.steps["grad_norm"][0].as_py())
    assert losses[0] == losses[1]
    assert norms[1] == pytest.approx(8 * norms[0], rel=1e-6)


def test_labels_that_the_model_does_not_get_are_looked_up(tmp_path: Path) -> None:
    """A loop that computes its loss outside the model is recorded with the same loss."""
    inside, outside = Watched(tmp_path / "inside"), Watched(tmp_path / "outside")
    torch.manual_seed(5)
    inside.backward(0, 3)
    inside.step()
    torch.manual_seed(5)
    outside.backward(0, 3, labels=None)
    outside.step()
    losses = [each.record().micro_batches["loss"][0].as_py() for each in (inside, outside)]
    assert losses[0] == losses[1]


def test_gradients_are_read_before_the_loop_clips_them(tmp_path: Path) -> None:
    """The norm is that of the raw gradients, as `clip_grad_norm_` returns it, bit for bit."""
    watched = Watched(tmp_path)
    watched.backward(0, 1, 2)
    raw = of_tensor(cast(Tensor, watched.model.head.weight.grad))
    norm = torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 1e-3)
    clipped = of_tensor(cast(Tensor, watched.model.head.weight.grad))
    watched.step()
    record = watched.record()
    rows = {row["tensor"]: row for row in record.tensors.to_pylist() if row["step"] == 1}
    assert float(norm) == record.steps["grad_norm"][0].as_py()
    assert raw == rows["head.weight"]["gradient"]
    assert raw != clipped


def test_accumulated_gradients_are_those_of_the_whole_window(tmp_path: Path) -> None:
    """With two backward passes before a step, the sum of both is recorded."""
    watched = Watched(tmp_path)
    watched.backward(0)
    first = of_tensor(cast(Tensor, watched.model.head.bias.grad))
    watched.backward(1)
    both = of_tensor(cast(Tensor, watched.model.head.bias.grad))
    watched.step()
    rows = {row["tensor"]: row for row in watched.record().tensors.to_pylist() if row["step"]}
    assert both == rows["head.bias"]["gradient"]
    assert both != first


def test_an_evaluation_is_not_recorded_as_training(tmp_path: Path) -> None:
    """Forward passes without gradients leave no micro-batch."""
    watched = Watched(tmp_path)
    with torch.no_grad():
        watched.model(**batch(3))
    watched.backward(0)
    with torch.no_grad():
        watched.model(**batch(3))
    watched.step()
    assert [[0]] == watched.record().micro_batches["sample_ids"].to_pylist()


def test_rows_outside_the_training_set_are_unknown(tmp_path: Path) -> None:
    """Such a row has the id -1 in the record."""
    watched = Watched(tmp_path)
    strange = batch(0, 1)
    strange["input_ids"][1, 0] = 9
    watched.model(**strange)["loss"].backward()
    watched.step()
    assert [[0, -1]] == watched.record().micro_batches["sample_ids"].to_pylist()


def test_the_probe_changes_neither_results_nor_generators(tmp_path: Path) -> None:
    """With dropout on, weights and generators have the same bits with and without the probe."""
    ends = []
    for watch in (True, False):
        watched = Watched(tmp_path / str(watch))
        if not watch:
            watched.probe.close()
        for step in range(4):
            watched.backward(step, (step + 1) % 4)
            watched.step()
        ends.append((of_tensor(watched.model.head.weight), of_tensor(torch.get_rng_state())))
    assert ends[0] == ends[1]


def test_one_bit_of_one_weight_differs_at_its_step(tmp_path: Path) -> None:
    """A weight changed by one ulp before an update differs in its tensor at that step."""
    records = []
    for fault in (False, True):
        watched = Watched(tmp_path / str(fault))
        for step in range(3):
            torch.manual_seed(step)
            watched.backward(step)
            if fault and step == 1:
                row = watched.model.embedding.weight.data[9]  # a token that no row holds
                row[0] = torch.nextafter(row[0], torch.tensor(torch.inf))
            watched.step()
        records.append(watched.record().tensors.to_pylist())
    differing = [
        (one["step"], one["tensor"]) for one, two in zip(*records, strict=True) if one != two
    ]
    assert [(2, "embedding.weight"), (3, "embedding.weight")] == differing


def test_a_second_watch_is_refused(tmp_path: Path) -> None:
    """It is an error of the loop, raised immediately."""
    watched = Watched(tmp_path)
    with pytest.raises(RuntimeError, match="one training"):
        watched.probe.watch(watched.model, watched.optimizer)


def test_the_timing_probe_holds_times_and_no_values(tmp_path: Path) -> None:
    """A timing record has a positive time for each step and no values."""
    torch.manual_seed(1)
    model = Classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    writer = RecordWriter(tmp_path)
    probe = TimingProbe(writer, Listener(), workload(model))
    probe.watch(model, optimizer)
    for row in range(3):
        model(**batch(row, 0))["loss"].backward()
        optimizer.step()
    assert (3, 3, 6) == (probe.counts.steps, probe.counts.micro_batches, probe.counts.samples)
    with pytest.raises(RecordError):
        RunRecord(tmp_path)  # not a record before it is closed
    case = Case(name="probe", workload="paraphrase")
    spec = RunSpec(case=case, loop="plain", recipe=Recipe(), observe="timing")
    writer.close(
        Header(schema_version=SCHEMA_VERSION, spec=spec, status="completed", environment={})
    )
    record = RunRecord(tmp_path)
    assert {"timings"} == record.header.traces.keys()
    assert all(row["step_s"] > 0 for row in record.trace("timings").to_pylist())


def test_a_compiled_model_is_recorded_from_outside(tmp_path: Path) -> None:
    """It is recorded under the names of the bare model, and is not recompiled."""
    bare = Watched(tmp_path / "bare")
    seen: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Any:
        seen.append(len(graph.graph.nodes))
        return graph.forward

    compiled = Watched(tmp_path / "compiled", compiled_by=backend)
    for watched in (bare, compiled):
        torch.manual_seed(2)
        for rows in ((2, 0), (3, 1)):
            watched.backward(*rows)
            watched.step()
    one, two = bare.record(), compiled.record()
    assert one.steps.equals(two.steps)
    assert one.micro_batches.equals(two.micro_batches)
    assert one.tensors.equals(two.tensors)
    assert 1 == len(seen)


def test_sketches_are_those_of_the_weights_at_each_step(tmp_path: Path) -> None:
    """If requested: the initial weights at step 0, then those after each update."""
    watched = Watched(tmp_path / "asked", sketch=True)
    weights = [watched.model.head.bias.detach().clone()]
    for one, two in ((0, 1), (2, 3)):
        watched.backward(one, two)
        watched.step()
        weights.append(watched.model.head.bias.detach().clone())
    rows = [
        row
        for row in watched.record().trace("sketches").to_pylist()
        if row["tensor"] == "head.bias"
    ]
    assert [0, 1, 2] == [row["step"] for row in rows]
    assert [Sketches().of("head.bias", weight) for weight in weights] == [
        row["sketch"] for row in rows
    ]
    assert rows[0]["sketch"] != rows[2]["sketch"]


def test_sketches_are_absent_by_default(tmp_path: Path) -> None:
    """Control of the test above."""
    watched = Watched(tmp_path)
    watched.backward(0, 1)
    watched.step()
    assert "sketches" not in watched.record().header.traces


def test_gradients_read_after_the_backward_pass_are_those_of_each_tensor(tmp_path: Path) -> None:
    """Several processes read all of them after the reduction; one process reads the same."""
    each, together = Watched(tmp_path / "each"), Watched(tmp_path / "together", world_size=2)
    for watched in (each, together):
        torch.manual_seed(2)
        watched.backward(2, 0)
        watched.backward(3, 1)
        watched.step()
        watched.backward(1, 1)
        watched.step()
    one, two = each.record(), together.record()
    assert one.steps.equals(two.steps)
    assert one.tensors.equals(two.tensors)
    assert one.micro_batches.equals(two.micro_batches)
    assert 2 == len(set(one.steps["gradients"].to_pylist()))


def trained(watched: Watched) -> RunRecord:
    """The record of three steps; the first has two micro-batches."""
    torch.manual_seed(2)
    watched.backward(2, 0)
    for rows in ((3, 1), (1, 1), (0, 2)):
        watched.backward(*rows)
        torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 0.1)
        watched.step()
    return watched.record()


@pytest.mark.parametrize("enough", [1, 1_000_000])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_reading_beside_the_training_gives_the_same_record(
    momentum: float, enough: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without a second thread, per tensor or for all tensors at once."""
    at_once = trained(Watched(tmp_path / "at once", world_size=2, momentum=momentum))
    monkeypatch.setattr(tensors, "_MIN_ELEMENTS", enough)
    beside = trained(Watched(tmp_path / "beside", momentum=momentum))
    for name in ("steps", "tensors", "norms", "micro_batches"):
        assert at_once.trace(name).equals(beside.trace(name)), name
    assert 3 == len(set(beside.steps["optimizer_state"].to_pylist())) or not momentum


def test_weights_that_change_while_read_are_read_again(tmp_path: Path) -> None:
    """After a forward pass without a backward pass, as for a log, they may change."""
    records = []
    for late in (False, True):
        watched = Watched(tmp_path / str(late))
        for step in range(3):
            torch.manual_seed(step)
            average = partial(watched.model.head.weight.mul_, 0.5)
            with torch.no_grad():
                if not late:
                    average()
            watched.model(**batch(step))
            with torch.no_grad():
                if late:
                    time.sleep(0.05)  # by now they were read
                    average()
            watched.backward(step)
            watched.step()
        records.append(watched.record())
    assert records[0].tensors.equals(records[1].tensors)
    assert 3 == len(set(records[0].steps["weights"].to_pylist()))


@pytest.mark.parametrize("detail", DETAILS)
def test_a_detail_level_records_only_its_own_stages(detail: Detail, tmp_path: Path) -> None:
    """A lower level holds the same values as `full`; the rest is null, or its trace is absent."""
    full = trained(Watched(tmp_path / "full", momentum=0.9))
    lower = trained(Watched(tmp_path / "lower", momentum=0.9, detail=detail))
    assert full.micro_batches.equals(lower.micro_batches)
    for name in full.steps.column_names:
        left_out = name in NOT_RECORDED[detail]
        expected = [None] * 3 if left_out else full.steps[name].to_pylist()
        assert expected == lower.steps[name].to_pylist()
    assert (detail != "steps") == ("tensors" in lower.header.traces)
    assert (detail != "steps") == ("norms" in lower.header.traces)
    if detail == "weights":
        assert full.tensors["weight"].equals(lower.tensors["weight"])
        assert full.tensors["gradient"].equals(lower.tensors["gradient"])
        assert len(lower.tensors) == lower.tensors["optimizer_state"].null_count


def test_a_gradient_is_read_before_another_hook_changes_it(tmp_path: Path) -> None:
    """The probe's hook runs first and reads the gradient as autograd leaves it."""

    def zero(parameter: Tensor) -> None:
        cast(Tensor, parameter.grad).zero_()

    digests = []
    for changed in (False, True):
        watched = Watched(tmp_path / str(changed))
        for parameter in watched.model.parameters() if changed else ():
            parameter.register_post_accumulate_grad_hook(zero)
        torch.manual_seed(2)
        watched.backward(2, 0)
        watched.step()
        digests.append(watched.record().steps["gradients"].to_pylist())
    assert digests[0] == digests[1]


def test_an_update_that_changes_its_gradients_leaves_no_false_norm(tmp_path: Path) -> None:
    """A norm computed while the gradient changed is dropped; later norms are computed before."""
    watched = Watched(tmp_path)

    def zero(*_: Any) -> None:
        for parameter in watched.model.parameters():
            parameter.grad.zero_()

    watched.optimizer.register_step_pre_hook(zero)  # after the probe's own
    for rows in ((2, 0), (3, 1)):
        watched.backward(*rows)
        watched.step()
    applied = watched.record().norms.filter(pc.field("step") > 0)["applied"].to_pylist()
    assert [True] * 3 + [False] * 3 == [norm is None for norm in applied]
