"""`with harness.trace(folder)`: what trains inside is recorded, and nothing is left behind."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim import optimizer as torch_optimizer

import harness
from harness.results.comparison import Comparison
from harness.results.record import HEADER
from harness.tracing import steps


def build(seed: int = 0) -> tuple[nn.Module, Optimizer]:
    """A small model and its optimizer."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def train(
    model: nn.Module, optimizer: Optimizer, steps: int = 3, clip: float | None = None
) -> None:
    """A few steps on rows that depend on the step alone."""
    for step in range(steps):
        rows = torch.arange(6.0).reshape(2, 3) + step
        loss = (model(rows) - 1).square().mean()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()


def hooks() -> tuple[Any, ...]:
    """Everything global that a trace touches."""
    return (
        Optimizer.__init__,
        nn.Module.__call__,
        torch.autograd.backward,
        dict(torch_optimizer._global_optimizer_pre_hooks),
        dict(torch_optimizer._global_optimizer_post_hooks),
        {thread.name for thread in threading.enumerate()},
    )


def hooks_of(model: nn.Module) -> list[Any]:
    """The hooks on a model and its parameters."""
    found: list[Any] = []
    for module in model.modules():
        found += [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    for parameter in model.parameters():
        found += [parameter._post_accumulate_grad_hooks, parameter._backward_hooks]
    return [each for each in found if each]


def compared(tmp_path: Path, *changed: dict[str, Any]) -> Comparison:
    """Two traced trainings of one model, with changed arguments of `train`."""
    traces = []
    for number, arguments in enumerate(changed):
        model, optimizer = build()
        with harness.trace(tmp_path / f"run{number}") as tracing:
            train(model, optimizer, **arguments)
        traces.append(tracing)
    report = harness.compare(traces[0], traces[1], tmp_path / "out")
    return report.comparisons[0]


def test_two_equal_trainings_are_identical(tmp_path: Path) -> None:
    """With all that a command's record holds."""
    found = compared(tmp_path, {}, {})
    assert "identical" == found.outcome, found.doubts
    assert 3 == found.steps


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    """Control: gradients are clipped on one side; the raw gradients of step 1 are equal."""
    found = compared(tmp_path, {}, {"clip": 0.001})
    assert "different" == found.outcome
    assert found.first_divergence is not None
    assert (1, "weights") == (found.first_divergence.step, found.first_divergence.stage)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """No hook on the model or in torch, no patched function, no thread, also after an error."""
    model, optimizer = build()
    steps.release()  # what an earlier test of this process may have left
    before = hooks()
    with harness.trace(tmp_path / "one"):
        train(model, optimizer)
        assert before != hooks()
        assert hooks_of(model)
    assert before == hooks()
    assert not hooks_of(model)
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path / "two", model, optimizer, ZeroDivisionError())
    assert before == hooks()
    assert not hooks_of(model)
    with harness.trace(tmp_path / "three"):  # and nothing trains in it
        pass
    assert before == hooks()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(
        [HEADER, *(f"{name}.parquet" for name in harness.load(tmp_path / "one").header.traces)]
    )


def test_the_training_is_not_changed(tmp_path: Path) -> None:
    """Weights, optimizer state and random generators are those of the same code alone."""
    alone, traced = build(), build()
    torch.manual_seed(1)
    train(*alone)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    with harness.trace(tmp_path / "run"):
        train(*traced)
    assert drawn == torch.rand(1)
    for one, other in zip(alone[0].parameters(), traced[0].parameters(), strict=True):
        assert torch.equal(one, other)


def fail(folder: Path, model: nn.Module, optimizer: Optimizer, error: BaseException) -> None:
    """A traced training that raises `error` after two steps."""
    with harness.trace(folder):
        train(model, optimizer, steps=2)
        raise error


def test_a_block_that_raises_leaves_a_failed_record(tmp_path: Path) -> None:
    """The exception is the same object, and the record holds the steps until then."""
    error = ValueError("no more rows")
    with pytest.raises(ValueError, match="no more rows") as caught:
        fail(tmp_path / "run", *build(), error)
    assert error is caught.value
    header = harness.load(tmp_path / "run").header
    assert ("failed", "ValueError: no more rows", 2) == (header.status, header.error, header.steps)


def test_an_interrupted_block_is_recorded_as_such(tmp_path: Path) -> None:
    """Ctrl-C is no fault of the training."""
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "run", *build(), KeyboardInterrupt())
    assert "interrupted" == harness.load(tmp_path / "run").status


def test_optimizers_made_before_or_inside_the_block_are_found(tmp_path: Path) -> None:
    """Two models, alternating, one made before and one inside: nothing of their steps is unseen."""
    one = build(1)
    with harness.trace(tmp_path / "run") as tracing:
        other = build(2)
        for _ in range(2):
            train(*one, steps=1)
            train(*other, steps=1)
    header = tracing.record.header
    assert () == header.unseen
    assert [2, 2] == [each.steps for each in header.optimizers]
    assert 4 == header.steps


def test_models_made_before_the_block_are_found_when_they_are_first_called(
    tmp_path: Path,
) -> None:
    """Also if another one has trained before; one that does not train is not in the record."""
    one, other, third = build(1), build(2), build(3)
    with harness.trace(tmp_path / "run") as tracing:
        train(*one)
        train(*other)
    header = tracing.record.header
    assert () == header.unseen
    assert [3, 3] == [each.steps for each in header.optimizers]
    assert 8 == len(header.parameter_names)
    assert third is not None


def test_a_named_model_is_recorded(tmp_path: Path) -> None:
    """Only a module around the trained one: the names are those of the watched model."""
    inner, optimizer = build()
    whole = nn.ModuleDict({"inner": inner, "frozen": nn.Linear(1, 1)})
    with harness.trace(tmp_path / "run") as tracing:
        harness.watch(whole, optimizer)
        train(inner, optimizer)
    header = tracing.record.header
    assert () == header.unseen
    assert "inner.0.weight" in header.parameter_names
    assert "frozen.weight" in header.parameter_names


def test_a_block_without_a_training_is_never_identical(tmp_path: Path) -> None:
    """Its record says that nothing was seen."""
    traces = []
    for number in range(2):
        with harness.trace(tmp_path / f"run{number}") as tracing:
            pass
        traces.append(tracing)
    assert ("No optimizer of torch.optim made a step.",) == traces[0].record.header.unseen
    report = harness.compare(traces[0], traces[1], tmp_path / "out")
    assert "no_verdict" == report.verdict


def test_evaluations_and_logged_losses_can_be_reported(tmp_path: Path) -> None:
    """They are compared as those of a loop."""
    with harness.trace(tmp_path / "run") as tracing:
        train(*build())
        tracing.logged(0.5)
        tracing.evaluated({"accuracy": 0.25, "loss": 2.0}, rows=4)
    record = tracing.record
    assert {"accuracy": 0.25} == record.header.final_metrics
    assert 0.25 == record.steps["eval_accuracy"].iloc[-1]


def test_detail_and_every_limit_what_is_recorded(tmp_path: Path) -> None:
    """As the options of `harness trace`."""
    with harness.trace(tmp_path / "run", name="short", every=2) as tracing:
        train(*build(), steps=5)
    assert [0, 1, 2, 4] == sorted(set(tracing.record.tensors["step"]))
    assert "short" == tracing.record.name
    with harness.trace(tmp_path / "steps", detail="steps") as tracing:
        train(*build())
    assert 0 == len(tracing.record.tensors)


def test_a_forked_process_leaves_the_record_alone(tmp_path: Path) -> None:
    """It trains on, unrecorded, and the record of its parent is as without it."""
    model, optimizer = build()
    with harness.trace(tmp_path / "run") as tracing:
        train(model, optimizer, steps=2)
        child = os.fork()
        if child == 0:
            try:
                train(model, optimizer, steps=4)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        train(model, optimizer, steps=1)
    assert 3 == tracing.record.header.steps
    assert [1, 2, 3] == tracing.record.steps["step"].tolist()


@pytest.mark.parametrize(
    ("arguments", "met"),
    [
        ({"detail": "al"}, "unknown detail"),
        ({"every": 0}, "every"),
        ({"name": "a b"}, "name"),
    ],
)
def test_wrong_arguments_are_refused_before_the_block(
    tmp_path: Path, arguments: dict[str, Any], met: str
) -> None:
    """In one line, and nothing is written."""
    with pytest.raises(harness.SpecError, match=met) as caught:
        harness.trace(tmp_path / "run", **arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_traces_do_not_nest(tmp_path: Path) -> None:
    """The outer one goes on, and ends as it would have."""
    with harness.trace(tmp_path / "outer") as outer:
        model, optimizer = build()
        train(model, optimizer, steps=1)
        with (
            pytest.raises(harness.SpecError, match="one trace is open at a time"),
            harness.trace(tmp_path / "inner"),
        ):
            pass
        with pytest.raises(harness.SpecError, match="after the block"):
            outer.record  # noqa: B018  # it is asked for on purpose
        train(model, optimizer, steps=1)
    assert 2 == outer.record.header.steps
    assert not (tmp_path / "inner").exists()
    with pytest.raises(harness.SpecError, match="a trace records one block"), outer:
        pass


def test_a_folder_with_a_record_is_replaced_only_on_request(tmp_path: Path) -> None:
    """A folder with anything else never is."""
    for replace in (False, True):
        with harness.trace(tmp_path / "run", replace=replace) as tracing:
            train(*build(), steps=1 + replace)
    assert 2 == tracing.record.header.steps
    with pytest.raises(harness.SpecError, match="replace=True"), harness.trace(tmp_path / "run"):
        pass
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with (
        pytest.raises(harness.SpecError, match="empty it"),
        harness.trace(tmp_path / "mine", replace=True),
    ):
        pass
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_watch_needs_an_open_trace_and_an_optimizer(tmp_path: Path) -> None:
    """One line each."""
    model, _ = build()
    with pytest.raises(harness.SpecError, match=r"inside a trace \(met no open trace\)"):
        harness.watch(model)
    with harness.trace(tmp_path / "run"), pytest.raises(harness.SpecError, match="TrainerCallback"):
        harness.watch(model, None)  # type: ignore[arg-type]  # on purpose


def test_one_of_several_processes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of the others would be missing."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(harness.SpecError, match="harness trace -- torchrun"),
        harness.trace(tmp_path / "run"),
    ):
        pass
    monkeypatch.setenv("WORLD_SIZE", "1")
    with harness.trace(tmp_path / "run"):
        pass


def test_a_fault_of_the_harness_does_not_reach_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record states it, and the pair is never identical."""
    from harness.tracing.attach import block

    def broken(*_: Any) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(block, "watch_found", broken)
    model, optimizer = build()
    with harness.trace(tmp_path / "run") as tracing:
        train(model, optimizer)
    assert "planted" in str(tracing.record.header.probe_fault)
    assert not hooks_of(model)
