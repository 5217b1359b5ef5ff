"""The probe records what a loop computes before the loop can change it, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from harness.errors import RecordError, SpecError
from harness.results.record import SCHEMA_VERSION, Header, RecordWriter, RunRecord
from harness.spec.case import Case, RunSpec
from harness.spec.recipe import Recipe
from harness.tracing.digest import of_tensor
from harness.tracing.listener import Listener
from harness.tracing.timing_probe import TimingProbe
from tests.support.watched_model import Classifier, Watched, batch


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
        losses.append(record.micro_batches["task_loss"][0].as_py())
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
    losses = [each.record().micro_batches["task_loss"][0].as_py() for each in (inside, outside)]
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


def test_a_second_watch_of_the_same_changes_nothing(tmp_path: Path) -> None:
    """The record is the same."""
    records = []
    for times in (0, 1):
        watched = Watched(tmp_path / str(times))
        for _ in range(times):
            watched.probe.watch(watched.model, watched.optimizer)
        watched.backward(0, 1)
        watched.step()
        records.append(watched.record())
    assert records[0].steps.equals(records[1].steps)
    assert records[0].micro_batches.equals(records[1].micro_batches)


def test_an_optimizer_that_is_none_is_refused(tmp_path: Path) -> None:
    """In one line, with the remedy."""
    watched = Watched(tmp_path)
    with pytest.raises(SpecError, match="on_train_begin"):
        watched.probe.watch(watched.model, cast(Any, None))


def test_the_timing_probe_holds_times_and_no_values(tmp_path: Path) -> None:
    """A timing record has a positive time for each step and no values."""
    torch.manual_seed(1)
    model = Classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    writer = RecordWriter(tmp_path)
    probe = TimingProbe(writer, Listener())
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
