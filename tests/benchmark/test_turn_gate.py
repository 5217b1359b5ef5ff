"""The turn gate counts rows, tokens and time, with a loop whose steps last a known time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch
from torch import nn

from harness.benchmark.child.meters import Flops, Profile, peak_flops_per_s
from harness.benchmark.child.turn_gate import CombinedProbe, Meter, TurnGate
from harness.tracing.listener import StopTraining
from harness.training.probe import Probe
from studies.slow_loops.extra_work import Slowed

STEP_S = 0.02
CPU = torch.device("cpu")


class Tiny(nn.Module):
    """A classifier of bags of words: a table of 50 words, and a matrix of 16 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.head = nn.Linear(16, 4, bias=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        found = self.words(input_ids) * attention_mask[..., None]
        return self.head(found.sum(dim=1))  # type: ignore[no-any-return]  # of any module


def timed_loop(probe: Probe, work: Any) -> None:
    """Endless steps of two micro-batches of 8 rows with 10 tokens, of which 3 are padding."""
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ids = torch.ones(8, 10, dtype=torch.long)
    mask = torch.ones(8, 10, dtype=torch.long)
    mask[:, 7:] = 0
    probe.watch(model, optimizer)
    while True:
        for _ in range(2):
            model(input_ids=ids, attention_mask=mask).sum().backward()
        with torch.no_grad():
            model(input_ids=ids, attention_mask=mask)  # an evaluation counts for nothing
        work()
        optimizer.step()
        optimizer.zero_grad()


class Running:
    """A loop in a thread, and the parent's end of its pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def turn(self, steps: int) -> dict[str, Any]:
        self._connection.send_bytes(json.dumps({"steps": steps}).encode())
        return self.receive() if steps else {}

    def receive(self) -> dict[str, Any]:
        assert self._connection.poll(20)
        found: dict[str, Any] = json.loads(self._connection.recv_bytes())
        return found


def started(
    work: Any = lambda: time.sleep(STEP_S),
    meter: Meter | None = None,
    before: tuple[Probe, ...] = (),
    slowed: float = 0.0,
) -> Iterator[Running]:
    ours, theirs = Pipe()

    def train() -> None:
        probe: Probe = CombinedProbe([*before, TurnGate(theirs, CPU, meter)])
        if slowed:
            probe = Slowed(probe, slowed)
        with pytest.raises(StopTraining):
            timed_loop(probe, work)

    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    running = Running(ours)
    assert "ready" == running.receive()["event"]
    yield running
    running.turn(0)
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_rows_tokens_and_seconds_of_a_turn() -> None:
    """Of six steps five count: 2 * 8 rows, 2 * 56 tokens and 2 * 80 with padding, 20 ms each."""
    for running in started():
        running.turn(1)
        turn = running.turn(6)

        assert 5 == turn["steps"]
        assert 5 * 16 == turn["samples"]
        assert 5 * 112 == turn["tokens"]
        assert 5 * 160 == turn["padded_tokens"]
        assert 5 * STEP_S <= turn["wall_s"]
        # Sleeping is the loop's own time and takes no CPU; a busy machine may add to wall time.
        assert 5 * STEP_S <= turn["wall_s"] - turn["delay_s"] < 10 * STEP_S
        assert turn["restart_s"] >= STEP_S


def test_nothing_runs_between_turns() -> None:
    """The loop waits, and no turn includes the waiting time."""
    made = []
    for running in started(work=lambda: made.append(1)):
        running.turn(3)
        before = len(made)
        time.sleep(0.3)
        assert before == len(made)
        turn = running.turn(2)
        assert turn["wall_s"] + turn["restart_s"] < 0.3


def test_operations_are_those_of_the_matrix_products() -> None:
    """Forward 2 * 8 * 16 * 4; backward twice that, for the weight and for the input; twice a step.

    So is the forward pass that is an evaluation, once.
    """
    flops = Flops()
    product = 2 * 8 * 16 * 4

    def counted() -> Iterator[Running]:
        ours, theirs = Pipe()

        def train() -> None:
            with pytest.raises(StopTraining), flops.counting():
                timed_loop(TurnGate(theirs, CPU, flops), lambda: None)

        thread = threading.Thread(target=train, daemon=True)
        thread.start()
        running = Running(ours)
        running.receive()
        yield running
        running.turn(0)
        thread.join(timeout=20)

    for running in counted():
        turn = running.turn(4)
        assert (2 * 3 + 1) * product == turn["meter"]["flops_per_step"]


def test_a_profile_shares_out_a_step() -> None:
    """Other work of the loop belongs to no part; each part takes some time."""
    profile = Profile(CPU)
    with profile.patched():
        for running in started(meter=profile, before=(profile,)):
            turn = running.turn(6)
            parts = turn["meter"]
            assert 0 == parts.pop("data")
            assert all(seconds > 0 for seconds in parts.values()), parts
            own_s = (turn["wall_s"] - turn["delay_s"]) / 5
            assert own_s - sum(parts.values()) >= STEP_S


def test_planted_work_is_the_share_that_it_says() -> None:
    """Half as much CPU time again, within a tenth, whatever else the machine does.

    With one thread, as in a bench: others would wait for work in a busy loop that costs CPU time.
    """

    def work() -> None:
        until = time.thread_time() + STEP_S
        while time.thread_time() < until:
            pass

    cpu_s = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for share in (0.0, 0.5):
            for running in started(work=work, slowed=share):
                running.turn(2)
                cpu_s.append(running.turn(9)["cpu_s"])
    finally:
        torch.set_num_threads(threads)

    assert cpu_s[1] / cpu_s[0] == pytest.approx(1.5, abs=0.1)


def test_the_peak_is_a_rate_that_a_product_reaches() -> None:
    """A product of 512 x 512 does not run at more than twice the peak found."""
    one = torch.randn(512, 512)
    peak = peak_flops_per_s(CPU, torch.float32)
    began = time.perf_counter()
    for _ in range(20):
        torch.mm(one, one)
    rate = 20 * 2 * 512**3 / (time.perf_counter() - began)

    assert rate < 2 * peak
