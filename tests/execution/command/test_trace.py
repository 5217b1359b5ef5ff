"""A traced command: it computes, prints and ends as it does alone, and leaves its record."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from harness.results.report import Report
from tests.support.commands import HARNESS, alone, environment, traced, without_harness_lines

pytestmark = pytest.mark.slow

TRAIN = """
import os, random, sys
import numpy as np
import torch
from torch import nn
# PLANT
def train(model, steps=4, rate=0.1):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for step in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.randn(3, 4)), torch.randint(2, (3,)))
        loss.backward()
        optimizer.step()
    return loss.item()
def model():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
"""
WHOLE = """
random.seed(1); np.random.seed(1); torch.manual_seed(1)
trained = model()
print(train(trained), random.random(), np.random.rand(), torch.rand(3), torch.get_num_threads())
print(sys.argv, sys.path, sorted(set(sys.modules) & {"sitecustomize", "transformers", "pandas"}))
print(torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype())
sys.stdout.flush()
trained(torch.randn(3, 5))
"""


def script(folder: Path, *parts: str, plant: str = "", name: str = "train.py") -> list[str]:
    """The words of a command that runs the script of these parts."""
    text = "".join(parts).replace("# PLANT", plant)
    (folder / name).write_text(text, encoding="utf-8")
    return [sys.executable, name, "--rate", "3"]


def test_output_error_and_random_state_are_those_of_the_command_alone(tmp_path: Path) -> None:
    """To the byte, with a traceback out of a hooked model, its exit code, and its own
    `sitecustomize`; the record knows the exception."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("print('own sitecustomize')\n", encoding="utf-8")
    words, variables = script(tmp_path, TRAIN, WHOLE), {"path": str(own)}
    plain = alone(words, tmp_path, variables)
    done, (record,) = traced(words, tmp_path, variables=variables)
    # The harness is a process of Python too, and prints the line of the user's file once more.
    assert plain.stdout == done.stdout.removeprefix("own sitecustomize\n")
    assert plain.stdout.startswith("own sitecustomize\n")
    assert plain.stderr == without_harness_lines(done.stderr)
    assert "mat1 and mat2 shapes cannot be multiplied" in plain.stderr
    assert plain.returncode == done.returncode == 1
    assert ("failed", 4, None) == (
        record.header.status,
        len(record.steps),
        record.header.probe_fault,
    )
    assert "mat1 and mat2" in (record.header.error or "")
    assert "failed" == Report.read(tmp_path / "out").verdict


def test_a_hook_that_draws_a_number_is_seen(tmp_path: Path) -> None:
    """The control of the test above: a fault planted in the harness changes the output."""
    plant = (
        "import harness.tracing.digest as d; whole = d.of_batch\n"
        "d.of_batch = lambda batch: (torch.rand(1), whole(batch))[1]"
    )
    words = script(tmp_path, TRAIN, WHOLE, name="plain.py")
    faulty = script(tmp_path, TRAIN, WHOLE, plant=plant, name="faulty.py")
    plain = alone(words, tmp_path).stdout.splitlines()
    done, _ = traced(faulty, tmp_path)
    assert plain[0] != done.stdout.splitlines()[0]


def test_a_fault_in_a_hook_ends_the_recording_and_not_the_training(tmp_path: Path) -> None:
    """The output is that of the command alone; the record and the last lines name the fault."""
    plant = "import harness.tracing.digest as d; d.of_batch = lambda batch: 1 / 0"
    words = script(tmp_path, TRAIN, "print(train(model(), 4))")
    faulty = script(tmp_path, TRAIN, "print(train(model(), 4))", plant=plant, name="faulty.py")
    faulty[0:1] = [sys.executable, "-W", "error"]
    seeded = {"PYTHONHASHSEED": "0"}
    done, (record,) = traced(faulty, tmp_path, variables=seeded)
    assert 0 == done.returncode, done.stderr
    assert 4 == record.header.steps
    assert "ZeroDivisionError" in (record.header.probe_fault or "")
    assert "a fault of the harness ended the recording, not the training" in done.stderr
    done, (record,) = traced(words, tmp_path, "sound", variables=seeded)
    assert record.header.probe_fault is None


SEVERAL = """
def alternate(steps=3):
    one, two = model(), model()
    first = torch.optim.SGD(one.parameters(), lr=0.1)
    second = torch.optim.SGD(two.parameters(), lr=0.1)
    for step in range(steps):
        for net, optimizer in ((one, first), (two, second)):
            optimizer.zero_grad(); net(torch.randn(2, 4)).sum().backward(); optimizer.step()
def work(rank):
    torch.manual_seed(rank)
    train(model(), 3 + rank)
    if rank == 1:
        os._exit(0)
if __name__ == "__main__":
    import multiprocessing
    alternate()
    again = model()
    train(again, 2); train(again, 3)
    for number, method in enumerate(("fork", "spawn")):
        process = multiprocessing.get_context(method).Process(target=work, args=(number,))
        process.start(); process.join(); print(method, process.exitcode)
    os.kill(os.getpid(), 9)
"""


def test_each_training_of_a_command_has_a_record(tmp_path: Path) -> None:
    """Alternating optimizers are one training, an optimizer made again goes on with it, another
    model begins another one. Forked and spawned processes have their own, also after `os._exit`.
    What a killed process had set aside is kept, and is not taken for the whole."""
    words = script(tmp_path, TRAIN, SEVERAL, name="several.py")
    # With several threads a forked process waits for ever, with or without the harness.
    done, records = traced(words, tmp_path, variables={"OMP_NUM_THREADS": "1"})
    assert 128 + signal.SIGKILL == done.returncode
    assert "fork 0\nspawn 0\n" == done.stdout
    found = {record.spec.run_label: record for record in records}
    assert ["several", "several-2", "several-3", "several-4"] == sorted(found)
    steps = [len(found[name].steps) for name in ("several", "several-3", "several-4")]
    assert [6, 3, 4] == steps
    assert [3, 3] == [one.steps for one in found["several"].header.optimizers]
    assert 8 == len(found["several"].header.parameter_names)
    killed = found["several-2"].header
    assert "failed" == killed.status
    assert "the command was ended by SIGKILL" == killed.error
    assert killed.unseen
    assert 1 <= killed.steps == len(found["several-2"].steps) <= 5
    assert not found["several-3"].header.unseen


TOGETHER = """
import torch.distributed as dist
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank if sys.argv[1:] == ["apart"] else 0)
net = model()
if sys.argv[1:] == ["apart"]:
    train(net)
else:
    net = nn.parallel.DistributedDataParallel(net)
    torch.manual_seed(rank)
    train(net)
if rank == 0:
    print(sum(p.sum() for p in net.parameters()).item(), flush=True)
dist.barrier()
# On a busy machine the threads of gloo abort one normal end in twenty, without the harness too.
os._exit(0)
"""


def test_processes_that_train_together_are_one_record(tmp_path: Path) -> None:
    """From a shell script, with torchrun: the micro-batches of both, the tensors of rank 0. If the
    ranks train different weights, that is seen."""
    script(tmp_path, TRAIN, TOGETHER, name="together.py")
    launch = f"{sys.executable} -m torch.distributed.run --nproc-per-node 2 together.py"
    (tmp_path / "run.sh").write_text(f"set -e\n{launch} $1 2> log\n", encoding="utf-8")
    plain = alone(["bash", "run.sh"], tmp_path)
    done, (record,) = traced(["bash", "run.sh"], tmp_path)
    assert (plain.returncode, plain.stdout) == (done.returncode, done.stdout)
    assert ("run", 2) == (record.spec.run_label, record.spec.processes)
    assert (4, 8, 0) == (len(record.steps), len(record.micro_batches), len(record.dissent))
    assert "Sequential (4 parameters" in done.stderr
    assert "on 2 processes" in done.stderr
    _, (record,) = traced(["bash", "run.sh", "apart"], tmp_path, "apart")
    assert 0 < len(record.dissent)


def test_what_cannot_be_seen_is_said(tmp_path: Path) -> None:
    """The command runs as ever, and a line says what to change; a report would have nothing."""
    words = script(tmp_path, TRAIN, "print(train(model()) > 0)")
    done, records = traced([sys.executable, "-I", *words[1:]], tmp_path, "isolated")
    assert (0, "True\n", []) == (done.returncode, done.stdout, records)
    assert "started with -I" in done.stderr
    assert not (tmp_path / "isolated").exists()
    words = script(tmp_path, TRAIN, "print(model()(torch.ones(1, 4)).shape)", name="infer.py")
    done, records = traced(words, tmp_path, "inference")
    assert (0, []) == (done.returncode, records)
    assert "no_verdict" == Report.read(tmp_path / "inference").verdict
    assert "no optimizer of torch.optim made a step" in done.stderr
    own = tmp_path / "own"
    own.mkdir()
    (own / "harness.py").write_text("mine = 3\n", encoding="utf-8")
    script(own, TRAIN, "import harness; train(model()); print(harness.mine)")
    done, records = traced([sys.executable, "own/train.py"], tmp_path, "conflict")
    assert (0, "3\n", []) == (done.returncode, done.stdout, records)
    assert "module `harness` of its own" in done.stderr


def test_an_interrupt_keeps_the_record(tmp_path: Path) -> None:
    """Sent to the harness alone, it reaches the command, whose own handling runs."""
    loop = "try:\n    train(model(), 10**9)\nfinally:\n    print('cleaned up', flush=True)\n"
    waits = loop.replace("try:", "print('ready', flush=True)\ntry:")
    words = script(tmp_path, TRAIN, waits)
    with subprocess.Popen(
        [*HARNESS, "--out", "out", "--detail", "steps", "--", *words],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        while not list(tmp_path.glob("out/.trace/parts/*/place.json")):  # until the first step
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert "cleaned up\n" == out
    assert 130 == process.returncode, err
    assert "KeyboardInterrupt" in err
    report = Report.read(tmp_path / "out")
    assert ("interrupted",) == tuple(run.status for run in report.runs)
    assert report.runs[0].steps > 0
    assert not (tmp_path / "out" / ".trace").exists()


def test_deterministic_sets_what_run_sets(tmp_path: Path) -> None:
    """And the other options say how much is recorded."""
    shows = (
        "print(torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), "
        "os.environ['CUBLAS_WORKSPACE_CONFIG']); train(model(), 7)"
    )
    words = script(tmp_path, TRAIN, shows)
    options = ["--deterministic", "--every", "3", "--detail", "weights", "--name", "mine"]
    done, (record,) = traced(words, tmp_path, options=options)
    assert "1 True :4096:8\n" == done.stdout, done.stderr
    assert ("mine", True, 3) == (
        record.spec.run_label,
        getattr(record.spec, "deterministic", None),
        record.header.tensors_every,
    )
    assert [0, 1, 3, 6] == sorted(set(record.tensors["step"].to_pylist()))
    assert pa.null() != record.tensors.schema.field("weight").type
    assert record.tensors["optimizer_state"].null_count == len(record.tensors)


WARNS = """
import warnings
def say(): warnings.warn("shown once for each place")
torch.manual_seed(1)
for number in range(3):
    say()
    train(model())
say()
"""


def test_a_warning_is_shown_as_often_as_without_the_harness(tmp_path: Path) -> None:
    """Libraries that the harness imports meanwhile would make Python forget what it has shown."""
    words = script(tmp_path, TRAIN, WARNS)
    plain = alone(words, tmp_path)
    done, records = traced(words, tmp_path)
    assert 3 == len(records)
    assert "shown once" in plain.stderr
    assert plain.stderr == without_harness_lines(done.stderr)


def test_a_command_without_a_training_says_so(tmp_path: Path) -> None:
    """With its own exit code; the report, and a comparison with it, give the reason."""
    (tmp_path / "infers.py").write_text(
        "import sys, torch\ntorch.nn.Linear(2, 1)(torch.ones(1, 2)).sum().backward()\n"
        "print(sorted({'pyarrow', 'pydantic'} & set(sys.modules)))\nsys.exit(3)\n"
    )
    (tmp_path / "idle.py").write_text(
        "import sys, torch\nprint('torch.distributed.tensor' in "
        "sys.modules or 'pydantic' in sys.modules)\n"
    )
    done, records = traced([sys.executable, "infers.py"], tmp_path, "one")
    idle, _ = traced([sys.executable, "idle.py"], tmp_path, "two")
    compared = subprocess.run(
        [*HARNESS[:-1], "compare", "one", "two"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ([], 3) == (records, done.returncode)
    assert "False\n" == idle.stdout  # a program that trains nothing starts quickly
    note = Report.read(tmp_path / "two").notes[0]
    assert "harness: " + note in idle.stderr
    assert note.startswith("NO TRAINING WAS RECORDED. A process imported torch, but no optimizer")
    assert 4 == compared.returncode
    assert "two holds no record of a training. NO TRAINING" in " ".join(compared.stdout.split())


@pytest.mark.parametrize("seeds", [True, False])
def test_a_script_that_is_not_seeded_is_told_so(seeds: bool, tmp_path: Path) -> None:
    words = script(tmp_path, TRAIN, "torch.manual_seed(1)\n" * seeds, "train(model())\n")
    done, (record,) = traced(words, tmp_path)
    assert seeds is record.header.settings["rng.seeded"]
    assert seeds is ("has not seeded torch's random generator" not in done.stderr)
