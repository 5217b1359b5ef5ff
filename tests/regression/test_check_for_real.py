"""`harness check` on loops that are trained, whose files change after `harness accept`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import main as cli
from harness.results.sessions import FOLDER, read_sessions
from tests.support.small_runs import write_pairs

pytestmark = pytest.mark.slow

LOOP = '''"""The plain loop, but for what stands in the middle."""

import torch

from harness.training.loops import plain


def cat(module, args, kwargs):
    if not torch.is_grad_enabled():
        return None
    module.passes = getattr(module, "passes", 0) + 1
    if module.passes != 3:
        return None
    return args, {name: torch.cat([t, t[:1]]) for name, t in kwargs.items()}


def cut(module, args, output):
    if torch.is_grad_enabled():
        output["loss"] = output["loss"].detach() + 0 * output["loss"]
    return output


def train(workload, recipe, probe):
    model = workload.model
    PLANTED
    return plain.train(workload, recipe, probe)
'''
SOUND = "pass"
MORE_MEMORY = "held = torch.zeros(115_000); model.held = held"
PLANTED = {
    "a step more": (
        "recipe = recipe.model_copy(update={'max_steps': 7})",
        {"steps", "samples"},
        "steps: baseline 6, now 7",
    ),
    "a step less": (
        "recipe = recipe.model_copy(update={'max_steps': 5})",
        {"steps", "samples"},
        "steps: baseline 6, now 5",
    ),
    "a sample more": (
        "model.register_forward_pre_hook(cat, with_kwargs=True)",
        {"samples", "data_order"},
        "samples: baseline 44, now 45",
    ),
    "a parameter more": (
        "model.classifier.more = torch.nn.Parameter(torch.zeros(1))",
        {"parameters"},
        "trained parameters: ",
    ),
    "a loss that does not move": (
        "model.classifier.register_forward_hook(lambda _m, _a, logits: logits - logits.detach())",
        {"soundness", "loss_trace"},
        "loss never changed",
    ),
    "zero gradients": (
        "model.register_forward_hook(cut)",
        {"soundness", "grad_norm"},
        "its gradients are zero at every step",
    ),
    "another order": (
        "recipe = recipe.model_copy(update={'data_seed': 7})",
        {"data_order"},
        "order of the rows: first difference at step 1",
    ),
    "an upgrade that moves the last digits": (
        "model.set_attn_implementation('eager')",
        {"loss_trace", "weights"},
        "the size of rounding; other kernels",
    ),
}

Command = Callable[..., int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With rows in it and a loop."""
    made = tmp_path_factory.mktemp("gate")
    write_pairs(made / "data")
    return made


@pytest.fixture
def harness(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A command in that folder; its exit code."""
    monkeypatch.chdir(folder)

    def run(*arguments: str, loop: str = SOUND) -> int:
        for name, planted in (("loop", loop), ("second", SOUND)):
            (folder / f"{name}.py").write_text(LOOP.replace("PLANTED", planted))
        monkeypatch.setattr("sys.argv", ["harness", *arguments])
        return cli.main()

    return run


def gate(folder: Path, out: str) -> list[dict[str, str]]:
    report = json.loads((folder / out / "report.json").read_text())
    found: list[dict[str, str]] = report["gate"]["items"]
    return found


TASK = ("--loops", "loop.py", "--set", "data=data", "--set", "max_steps=6")


def test_planted_changes_of_what_is_computed(
    folder: Path, harness: Command, subtests: pytest.Subtests
) -> None:
    """Whole runs: the same code passes, each planted change is exit code 1 with its words."""
    harness("run", *TASK, "--out", "run")
    assert 0 == harness("accept", "run", "--baseline", "whole", "--reason", "for tests")
    exact = ("--baseline", "whole", "--exact-only")
    assert 0 == harness("check", *TASK, *exact, "--out", "same")
    for name, (planted, metrics, message) in PLANTED.items():
        with subtests.test(name):
            out = name.replace(" ", "-")
            assert 1 == harness("check", *TASK, *exact, "--out", out, loop=planted)
            items = gate(folder, out)
            assert metrics <= {i["metric"] for i in items if i["listed"] == "regressed"}
            assert any(message in item["sentence"] for item in items)


def on_a_quiet_machine(bench: Path) -> None:
    """As if each step had taken a tenth of a second: the test must not depend on times."""
    for session in read_sessions(bench):
        blocks = tuple(
            replace(b, wall_s=b.steps / 10, cpu_s=b.steps / 10, delay_s=0.0) for b in session.blocks
        )
        replace(session, blocks=blocks).write(bench / FOLDER)


def test_two_percent_more_memory_of_a_bench(folder: Path, harness: Command) -> None:
    """Exit code 1. The study `studies.check_power` does the same for speeds."""
    task = ("--loops", "loop.py,second.py", "--set", "data=data")
    many = ("--sessions", "3", "--rounds", "1", "--budget", "900")
    harness("bench", *task, *many, "--out", "bench")
    on_a_quiet_machine(folder / "bench")
    assert 0 == harness("accept", "bench", "--baseline", "speeds", "--reason", "for tests")
    against = (*task, "--baseline", "speeds")
    assert 0 == harness("check", *against, "--exact-only", "--out", "same-memory")
    assert 1 == harness("check", *against, "--exact-only", "--out", "more", loop=MORE_MEMORY)
    (item,) = (i for i in gate(folder, "more") if i["listed"] == "regressed")
    assert ("loop", "peak_allocated_bytes") == (item["loop"], item["metric"])
    assert "peak allocated memory +2." in item["sentence"]
