"""The probe records trainings of any shape: several models and optimizers, closures, many calls."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.results.record import (
    READ_FROM_GRAPH,
    SCHEMA_VERSION,
    Header,
    RecordWriter,
    RunRecord,
)
from harness.spec.command import CommandSpec
from harness.tracing import probe as probe_module
from harness.tracing.listener import Listener
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe

X = torch.arange(24.0).reshape(8, 3) / 24
Y = torch.arange(8.0).reshape(8, 1) / 8

Training = Callable[[TraceProbe], None]


def recorded(folder: Path, train: Training, every: int = 1) -> RunRecord:
    """What the probe records of `train`, which is seeded."""
    torch.manual_seed(7)
    writer = RecordWriter(folder)
    probe = TraceProbe(writer, Listener(), TraceOptions(every=every))
    train(probe)
    probe.close()
    spec = CommandSpec(name="test", source="python", every=every)
    writer.close(
        Header(
            schema_version=SCHEMA_VERSION,
            spec=spec,
            status="completed",
            environment={},
            tensors_every=every,
            **probe.counts.model_dump(),
        )
    )
    return RunRecord(folder)


def net() -> nn.Sequential:
    """Two layers."""
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def loss_of(model: nn.Module, rows: slice = slice(0, 8)) -> Tensor:
    """The mean squared error on some rows."""
    return nn.functional.mse_loss(model(X[rows]), Y[rows])


def places(record: RunRecord) -> list[tuple[int, int]]:
    """Step and number of each micro-batch."""
    rows = record.micro_batches.to_pylist()
    return [(row["step"], row["micro_batch"]) for row in rows]


def at(record: RunRecord, step: int, column: str) -> dict[str, int]:
    """A column of the trace of tensors at one step, by tensor."""
    rows = record.tensors.to_pylist()
    return {row["tensor"]: row[column] for row in rows if row["step"] == step}


def test_the_loss_is_the_scalar_that_goes_backward(tmp_path: Path) -> None:
    """Not the loss before it was scaled, and not what the script makes of it afterwards."""
    expected = []

    def train(probe: TraceProbe) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        probe.watch(model, optimizer)
        for _ in range(2):
            scaled = loss_of(model) / 3
            expected.append(scaled.item())
            scaled.backward()
            scaled.detach().mul_(0)
            optimizer.step()
            optimizer.zero_grad()

    record = recorded(tmp_path, train)
    assert expected == record.micro_batches["loss"].to_pylist()
    assert [None, None] == record.micro_batches["task_loss"].to_pylist()


def test_two_optimizers_after_one_backward_pass_are_one_update(tmp_path: Path) -> None:
    """Whether or not the second is named; the rates stand by parameter."""

    def train_with(named: int) -> Training:
        def train(probe: TraceProbe) -> None:
            model = net()
            first = torch.optim.SGD(model[0].parameters(), lr=0.1)
            second = torch.optim.SGD(model[2].parameters(), lr=0.2)
            probe.watch(model, *[first, second][:named])
            for _ in range(3):
                loss_of(model).backward()
                for optimizer in (first, second):
                    optimizer.step()
                    optimizer.zero_grad()

        return train

    records = [recorded(tmp_path / str(named), train_with(named)) for named in (1, 2)]
    assert [(1, 1), (2, 1), (3, 1)] == places(records[0])
    assert records[0].steps.equals(records[1].steps)
    assert [[0.1, 0.2]] * 3 == records[0].steps["learning_rate"].to_pylist()
    assert [[0, 0, 1, 1]] * 3 == records[0].steps["rate_of"].to_pylist()
    assert [("SGD", 2, 3), ("SGD", 2, 3)] == [
        (seen.rule, seen.parameters, seen.steps) for seen in records[0].header.optimizers
    ]
    assert not records[0].header.observed.get("updated_twice")


def test_a_parameter_in_two_optimizers_is_updated_twice(tmp_path: Path) -> None:
    """It is counted, with the number of tensors."""

    def train(probe: TraceProbe) -> None:
        model = net()
        first = torch.optim.SGD(model.parameters(), lr=0.1)
        second = torch.optim.SGD(model[2].parameters(), lr=0.2)
        probe.watch(model, first)
        for _ in range(2):
            loss_of(model).backward()
            first.step()
            second.step()
            first.zero_grad()

    record = recorded(tmp_path, train)
    assert 2 == len(record.steps)
    assert [(1, 2.0), (2, 2.0)] == [
        (seen.step, seen.value) for seen in record.header.observed["updated_twice"]
    ]


def test_alternating_optimizers_make_one_update_each(tmp_path: Path) -> None:
    """As in a GAN: the names of each model begin with its class."""

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, noise: Tensor) -> Tensor:
            return torch.tanh(self.layer(noise))

    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, made: Tensor) -> Tensor:
            out: Tensor = self.layer(made)
            return out

    def train(probe: TraceProbe) -> None:
        generator, critic = Generator(), Critic()
        ours = torch.optim.Adam(generator.parameters(), lr=0.1)
        theirs = torch.optim.Adam(critic.parameters(), lr=0.2)
        probe.add(critic, theirs)
        probe.add(generator, ours)
        for _ in range(2):
            made = generator(torch.randn(4, 2))
            (critic(made.detach()).pow(2).mean() - critic(X[:4]).mean()).backward()
            theirs.step()
            theirs.zero_grad()
            (-critic(made).mean()).backward()
            ours.step()
            ours.zero_grad()

    record = recorded(tmp_path, train)
    assert [(1, 1), (2, 1), (3, 1), (4, 1)] == places(record)
    assert [[0.2], [0.1]] * 2 == record.steps["learning_rate"].to_pylist()
    assert [[0, 0, -1, -1], [-1, -1, 0, 0]] * 2 == record.steps["rate_of"].to_pylist()
    names = ["Critic.layer.weight", "Critic.layer.bias", "Generator.layer.weight"]
    assert (*names, "Generator.layer.bias") == record.header.parameter_names
    first, second = at(record, 1, "gradient"), at(record, 2, "gradient")
    assert (0, 0) == (first["Generator.layer.weight"], first["Generator.layer.bias"])
    assert 0 not in second.values()  # the generator's loss goes back through the critic
    moved = [
        {name for name, value in at(record, step, "weight").items() if value != before[name]}
        for step in (1, 2)
        for before in [at(record, step - 1, "weight")]
    ]
    assert [{*names[:2]}, {*names[2:], "Generator.layer.bias"}] == moved


def test_a_closure_is_called_inside_the_update(tmp_path: Path) -> None:
    """Its passes are micro-batches of that update, and the last gradient counts."""

    def train(probe: TraceProbe) -> None:
        model = net()
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
        probe.watch(model, optimizer)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model)
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)

    record = recorded(tmp_path, train)
    assert 3 == len(record.steps)
    assert {1, 2, 3} == {step for step, _ in places(record)}
    assert len(record.micro_batches) > 3
    assert record.header.probe_fault is None
    assert len({*at(record, 3, "optimizer_state").values()}) > 1  # kept for one parameter only


def test_several_calls_before_one_backward_pass_are_one_micro_batch(tmp_path: Path) -> None:
    """As in a Siamese network; the rows are those of all calls."""

    def train(probe: TraceProbe) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        probe.watch(model, optimizer)
        for _ in range(2):
            (model(X[:4]) - model(X[4:])).pow(2).mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    micro = recorded(tmp_path, train).micro_batches.to_pylist()
    assert 2 == len(micro)
    assert 8 == len({*micro[0]["rows"]})
    assert micro[0]["batch_content"] == micro[1]["batch_content"]


def test_a_row_has_one_digest_however_it_is_batched(tmp_path: Path) -> None:
    """So the rows of an update can be compared as a set."""

    def train_by(size: int) -> Training:
        def train(probe: TraceProbe) -> None:
            model = net()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            probe.watch(model, optimizer)
            for start in range(0, 8, size):
                loss_of(model, slice(start, start + size)).backward()
            optimizer.step()

        return train

    whole, cut = (recorded(tmp_path / str(n), train_by(n)).micro_batches for n in (8, 2))
    assert whole["rows"].to_pylist()[0] == [row for rows in cut["rows"].to_pylist() for row in rows]


def test_a_validation_pass_with_gradients_is_no_micro_batch(tmp_path: Path) -> None:
    """Nor does it make a training pass one in evaluation mode."""

    def train(probe: TraceProbe) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        probe.watch(model, optimizer)
        for _ in range(2):
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()
            model.eval()
            loss_of(model, slice(0, 2))
            model.train()

    record = recorded(tmp_path, train)
    assert [(1, 1), (2, 1)] == places(record)
    assert [8, 8] == [len(rows) for rows in record.micro_batches["rows"].to_pylist()]
    assert "trained_in_evaluation_mode" not in record.header.observed


def test_gradients_removed_after_the_forward_pass_are_not_left_over(tmp_path: Path) -> None:
    """Many scripts do so; a script that never removes them is counted."""

    def train_removing(removes: bool) -> Training:
        def train(probe: TraceProbe) -> None:
            model = net()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            probe.watch(model, optimizer)
            for _ in range(3):
                loss = loss_of(model)
                if removes:
                    optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return train

    sound, faulty = (
        recorded(tmp_path / str(removes), train_removing(removes)) for removes in (True, False)
    )
    assert "gradients_left_over" not in sound.header.observed
    assert [2, 3] == [seen.step for seen in faulty.header.observed["gradients_left_over"]]


def test_draws_between_the_forward_and_the_backward_pass_are_noticed(tmp_path: Path) -> None:
    """Of a module or of the loss; the state of a generator from which nothing is drawn is inert."""

    def train_drawing(where: str) -> Training:
        def train(probe: TraceProbe) -> None:
            model = nn.Sequential(net(), nn.Dropout(0.5 if where == "module" else 0.0))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            probe.watch(model, optimizer)
            for _ in range(2):
                torch.rand(1)  # before the pass
                loss = loss_of(model)
                if where == "loss":
                    loss = loss * torch.rand(())
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()

        return train

    draws = {
        where: recorded(tmp_path / where, train_drawing(where)).circumstances["draws"].to_pylist()
        for where in ("nowhere", "module", "loss")
    }
    assert {"nowhere": [False] * 2, "module": [True] * 2, "loss": [True] * 2} == draws


def test_weights_moved_by_hand_are_noticed_at_their_step(tmp_path: Path) -> None:
    """Without an optimizer."""

    def train(probe: TraceProbe) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        probe.watch(model, optimizer)
        for step in range(4):
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()
            if step == 1:
                with torch.no_grad():
                    next(model.parameters()).mul_(0.5)

    record = recorded(tmp_path, train)
    assert [2] == [seen.step for seen in record.header.observed["weights_changed_outside_update"]]


def test_a_state_emptied_after_an_update_is_that_of_the_update(tmp_path: Path) -> None:
    """Before the next pass. What is emptied shows in the next update."""

    def train_and(empties: bool) -> Training:
        def train(probe: TraceProbe) -> None:
            model = net()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            probe.watch(model, optimizer)
            for step in range(1, 4):
                loss_of(model).backward()
                optimizer.step()
                optimizer.zero_grad()
                if empties and step == 2:
                    optimizer.state.clear()

        return train

    kept, emptied = (
        recorded(tmp_path / str(empties), train_and(empties)) for empties in (False, True)
    )
    for step, same in ((1, True), (2, True), (3, False)):
        one, two = (at(record, step, "optimizer_state") for record in (kept, emptied))
        assert same == (one == two), step
        assert len(set(two.values())) == len(two), step
        assert same == (at(kept, step, "weight") == at(emptied, step, "weight"))


def test_the_last_state_of_an_optimizer_that_is_gone_is_kept(tmp_path: Path) -> None:
    """A script that ends drops its optimizers, also one that made no step in the last update."""

    def train_and(keep: list[Any]) -> Training:
        def train(probe: TraceProbe) -> None:
            model = net()
            first = torch.optim.Adam(model[0].parameters(), lr=0.1)
            second = torch.optim.Adam(model[2].parameters(), lr=0.1)
            probe.watch(model, first, second)
            for optimizer in (first, second) * 2:
                loss_of(model).backward()
                optimizer.step()
                model.zero_grad()
            keep.extend([first, second])

        return train

    held: list[Any] = []
    kept = recorded(tmp_path / "kept", train_and(held))
    dropped = recorded(tmp_path / "dropped", lambda probe: train_and([])(probe))
    assert 4 == kept.header.steps
    for step in range(5):
        assert at(kept, step, "optimizer_state") == at(dropped, step, "optimizer_state"), step
    assert at(kept, 2, "optimizer_state") != at(kept, 4, "optimizer_state")


def test_a_second_backward_pass_through_one_forward_pass_is_no_micro_batch(tmp_path: Path) -> None:
    """Of two losses the sum went backward; of one loss twice, its gradient counts twice.

    Counterpart: a second forward pass over the same rows is another micro-batch.
    """

    def train_with(kind: str) -> Training:
        def train(probe: TraceProbe) -> None:
            model = net()
            probe.watch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
            for _ in range(2):
                output = model(X)
                first = nn.functional.mse_loss(output, Y)
                second = output.square().mean()
                if kind == "sum":
                    (first + second).backward()
                else:
                    first.backward(retain_graph=kind != "again")
                if kind == "two":
                    second.backward()
                elif kind == "twice":
                    first.backward()
                elif kind == "again":
                    loss_of(model).backward()
                optimizer.step()
                optimizer.zero_grad()

        return train

    kinds = ("one", "sum", "two", "twice", "again")
    found = {kind: recorded(tmp_path / kind, train_with(kind)) for kind in kinds}
    for kind in kinds:
        expected = [(1, 1), (1, 2), (2, 1), (2, 2)] if kind == "again" else [(1, 1), (2, 1)]
        assert expected == places(found[kind]), kind
        assert len(expected) == found[kind].header.micro_batches
        assert 8 * len(expected) == found[kind].header.samples
        assert len(expected) == len(found[kind].circumstances)
    losses = {kind: found[kind].micro_batches["loss"][0].as_py() for kind in kinds}
    assert losses["sum"] == losses["two"]
    assert losses["one"] == losses["twice"] == losses["again"] != losses["sum"]
    norms = {kind: found[kind].steps["grad_norm"][0].as_py() for kind in kinds}
    assert norms["twice"] == norms["again"] == 2 * norms["one"]


def test_parameters_without_a_module_are_recorded(tmp_path: Path) -> None:
    """No forward pass is seen. The batch is what autograd keeps, here the inputs."""

    def train(probe: TraceProbe) -> None:
        weight = torch.zeros(3, 1, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=0.1)
        probe.add({"weight": weight}, optimizer)
        for _ in range(2):
            (X @ weight - Y).pow(2).mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    record = recorded(tmp_path, train)
    micro = record.micro_batches.to_pylist()
    assert [(1, 1), (2, 1)] == places(record)
    assert [None] * 2 == [m["rows"] for m in micro]
    first, second = [(m["batch_content"], m["rng"]) for m in micro]
    assert None not in (*first, *second)
    assert [1] == [seen.step for seen in record.header.observed[READ_FROM_GRAPH]][:1]
    assert ("weight",) == record.header.parameter_names


def test_a_parameter_that_is_unfrozen_later_is_recorded_from_then_on(tmp_path: Path) -> None:
    """With the optimizer that is made for it."""

    def train(probe: TraceProbe) -> None:
        model = net()
        model[0].requires_grad_(False)
        optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
        probe.watch(model, optimizer)
        for step in range(4):
            if step == 2:
                model[0].requires_grad_(True)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()

    record = recorded(tmp_path, train)
    gradients = [at(record, step, "gradient")["0.weight"] for step in range(1, 5)]
    assert gradients[:2] == [0, 0]
    assert 0 not in gradients[2:]
    assert [[0.1], [0.1], [0.05], [0.05]] == record.steps["learning_rate"].to_pylist()
    assert [2, 2] == [seen.steps for seen in record.header.optimizers]


def test_an_optimizer_without_a_rate_is_recorded(tmp_path: Path) -> None:
    """As Adafactor, which computes its own."""

    class Own(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                group["lr"] = 0.1
            super().step(closure)
            for group in self.param_groups:
                group["lr"] = None

    def train(probe: TraceProbe) -> None:
        model = net()
        optimizer = Own(model.parameters(), lr=0.1)
        for group in optimizer.param_groups:
            group["lr"] = None
        probe.watch(model, optimizer)
        for _ in range(2):
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()

    record = recorded(tmp_path, train)
    assert [[None], [None]] == record.steps["learning_rate"].to_pylist()
    assert [2] == [seen.steps for seen in record.header.optimizers]


def test_sparse_gradients_and_lazy_modules_are_recorded(tmp_path: Path) -> None:
    """A lazy module has no weights before its first forward pass."""

    def train(probe: TraceProbe) -> None:
        model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Flatten(), nn.LazyLinear(1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        probe.add(model, optimizer)
        for _ in range(3):
            model(torch.tensor([[0, 1], [1, 3]])).mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    record = recorded(tmp_path, train)
    assert record.header.probe_fault is None
    assert ("0.weight", "2.weight", "2.bias") == record.header.parameter_names
    assert 0 not in at(record, 2, "gradient").values()


def test_only_each_nth_step_is_read(tmp_path: Path) -> None:
    """Its values are those of a whole record."""

    def train(probe: TraceProbe) -> None:
        model = net()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        probe.watch(model, optimizer)
        for _ in range(7):
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()

    whole, third = recorded(tmp_path / "1", train), recorded(tmp_path / "3", train, every=3)
    kept = [0, 1, 3, 6]
    assert kept == sorted({row["step"] for row in third.tensors.to_pylist()})
    assert third.tensors.to_pylist() == [
        row for row in whole.tensors.to_pylist() if row["step"] in kept
    ]
    assert whole.micro_batches.equals(third.micro_batches)
    nulls = [row["step"] for row in third.steps.to_pylist() if row["gradients"] is None]
    assert [2, 4, 5, 7] == nulls


FAULTS = (
    "_begin_training",
    "_begin_pass",
    "_end_pass",
    "_begin_backward",
    "_add_micro_batch",
    "_begin_update",
    "_begin_step",
    "_end_step",
    "_record_update",
)
"""The functions of the probe in which a fault is planted."""


@pytest.mark.parametrize("place", FAULTS)
def test_a_fault_of_the_probe_does_not_reach_the_training(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are those of an untraced training, and the record states what failed."""

    def train(probe: TraceProbe | None) -> list[Tensor]:
        torch.manual_seed(3)
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        if probe is not None:
            probe.watch(model, optimizer)
        for _ in range(3):
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()
        return [parameter.detach() for parameter in model.parameters()]

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(probe_module.TraceProbe, place, fail)
    weights = []
    record = recorded(tmp_path, lambda probe: weights.extend(train(probe)))
    assert all(torch.equal(one, two) for one, two in zip(train(None), weights, strict=True))
    fault = record.header.probe_fault
    assert fault is not None
    assert "ZeroDivisionError: planted" in fault
    assert 3 == record.header.steps


def save_whole(model: nn.Module, folder: Path) -> object:
    """Save the module itself, and read it back."""
    torch.save(model, folder / "model.pt")
    return torch.load(folder / "model.pt", weights_only=False)


USES: dict[str, Callable[[nn.Module, Path], object]] = {
    "pickled": save_whole,
    "copied": lambda model, _: copy.deepcopy(model),
    "scripted": lambda model, _: torch.jit.script(model),
    "traced": lambda model, _: torch.jit.trace(model, X),
    "traced by its method": lambda model, _: torch.jit.trace_module(model, {"forward": X}),
    "transformed": lambda model, _: torch.func.vmap(model)(X),
    "derived": lambda model, _: torch.func.jacrev(model)(X[0]),
}


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("step", [0, 2])
def test_a_watched_model_can_be_used_as_without_the_probe(
    use: str, step: int, tmp_path: Path
) -> None:
    """Its copies hold no hook; a pass of a copy is no pass of the model."""

    def train(probe: TraceProbe) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        probe.watch(model, optimizer)
        for number in range(4):
            if number == step:
                made = USES[use](model, tmp_path)
                if isinstance(made, nn.Module):
                    assert not made._forward_hooks
                    assert not made._forward_pre_hooks
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()

    record = recorded(tmp_path / "record", train)
    assert record.header.probe_fault is None
    assert [8] * 4 == [len(rows) for rows in record.micro_batches["rows"].to_pylist()]


def test_nothing_stays_behind(tmp_path: Path) -> None:
    """Hooks and replaced functions are gone after the probe is closed."""
    backward = torch.autograd.backward
    model = net()

    def train(probe: TraceProbe) -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        probe.watch(model, optimizer)
        assert torch.autograd.backward is not backward
        loss_of(model).backward()
        optimizer.step()

    recorded(tmp_path, train)
    assert torch.autograd.backward is backward
    assert "__reduce_ex__" not in vars(nn.Module)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    for parameter in model.parameters():
        assert not parameter._post_accumulate_grad_hooks
