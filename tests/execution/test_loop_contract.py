"""A loop that breaks its contract fails with one line, which names a line of the user's code."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from harness.errors import LoopError
from harness.execution.child.loop_contract import call_loop, keeps_tf32
from harness.results.record import RunRecord
from tests.support.command import harness
from tests.support.records import spec
from tests.support.small_runs import write_pairs

Train = Callable[[Any, Any, Any], Any]


def model_and_optimizer() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def watched(returned: Callable[[nn.Module], Any]) -> Train:
    """A loop that watches a model and returns what is made of it."""

    def train(workload: Any, recipe: Any, probe: Any) -> Any:
        model, optimizer = model_and_optimizer()
        probe.watch(model, optimizer)
        return returned(model)

    return train


def passed(*arguments: Any) -> Train:
    """A loop that passes these to `watch`."""

    def train(workload: Any, recipe: Any, probe: Any) -> Any:
        probe.watch(*arguments)

    return train


@pytest.mark.parametrize(
    "returned",
    [
        lambda model: model,
        lambda model: model[0],
        nn.Sequential,  # around it
        lambda model: nn.Sequential(*model),  # of the same parameters
        lambda model: torch.compile(model, backend="eager"),
    ],
)
def test_the_watched_model_may_be_returned_in_several_forms(
    returned: Callable[[nn.Module], Any],
) -> None:
    """Itself, a module inside it or around it, or one with the same parameters."""
    assert isinstance(call_loop(watched(returned), None, None, Mock()), nn.Module)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (lambda w, r, p: nn.Linear(2, 2), "no call of probe.watch at"),
        (watched(lambda model: None), "train returns the trained model (met None at"),
        (watched(lambda model: {}), "train returns the trained model (met a value of type dict"),
        (watched(copy.deepcopy), "(met another Sequential at"),
        (passed(nn.Linear(2, 2)), "(met no optimizer at"),
        (passed(nn.Linear(2, 2), None), "(met None at"),
        (passed(nn.Linear(2, 2), None), "harness.TrainerCallback"),
        (passed(nn.Linear(2, 2), "adam"), "(met a value of type str at"),
        (passed(None, None), "probe.watch takes the model first (met None at"),
    ],
)
def test_a_broken_contract_is_one_line(train: Train, said: str) -> None:
    """With file and line."""
    with pytest.raises(LoopError) as caught:
        call_loop(train, None, None, Mock())
    assert said in str(caught.value)
    assert "test_loop_contract.py:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_call_reaches_the_probe() -> None:
    """With its arguments; the rates may be the third."""
    model, optimizer = model_and_optimizer()
    probe = Mock()

    def train(workload: Any, recipe: Any, calls: Any) -> nn.Module:
        calls.watch(model, optimizer, [0.1, 0.05])
        calls.watch(model, optimizer, optimizer, rates=(0.1,))
        calls.logged(0.5)
        calls.evaluated("scores")
        calls.remedied("what")
        calls.saved(Path("x"))
        return model

    assert model is call_loop(train, None, None, probe)
    first, second = probe.watch.call_args_list
    assert ((model, optimizer), {"rates": [0.1, 0.05]}) == (first.args, first.kwargs)
    assert ((model, optimizer, optimizer), {"rates": (0.1,)}) == (second.args, second.kwargs)
    probe.logged.assert_called_once_with(0.5)
    probe.evaluated.assert_called_once_with("scores")
    probe.remedied.assert_called_once_with("what")
    probe.saved.assert_called_once_with(Path("x"))


LOOP = """\
import torch
{more}

def train(workload, recipe, probe):
    model = workload.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    {watch}
    model.train()
    for first in range(0, 16, 8):
        rows = [workload.train_set[number] for number in range(first, first + 8)]
        model(**workload.collate(rows)).loss.backward()
        {middle}
        optimizer.step()
        optimizer.zero_grad()
    {end}
"""
SOUND = {"more": "", "watch": "probe.watch(model, optimizer)", "middle": "", "end": "return model"}
BROKEN = {
    "no_watch": ({"watch": "pass"}, "no call of probe.watch at no_watch.py:4"),
    "no_result": ({"end": "pass"}, "(met None at no_result.py:4): add `return model`"),
    "no_optimizer": ({"watch": "probe.watch(model, None)"}, "(met None at no_optimizer.py:7)"),
    "raises": ({"middle": "torch.ones(2) @ torch.ones(3)"}, "(raises.py:12)"),
}


@pytest.mark.slow
def test_a_run_that_failed_says_why_and_exits_with_3(tmp_path: Path) -> None:
    """Its record and the last lines of the command name the user's line; a sound loop trains."""
    data = write_pairs(tmp_path / "data")
    (tmp_path / "sound.py").write_text(LOOP.format(**SOUND), encoding="utf-8")
    for name, (change, _) in BROKEN.items():
        text = LOOP.format(**{**SOUND, **change})
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    loops = ",".join(["sound.py", *(f"{name}.py" for name in BROKEN)])
    settings = ("--set", f"data={data}", "--set", "max_steps=2")
    done = harness("run", "--loops", loops, *settings, "--out", "out", cwd=tmp_path)
    assert 3 == done.returncode, done.stderr
    last = " ".join(done.stdout.split("Reproduce")[-1].split())
    for name, (_, reason) in BROKEN.items():
        header = RunRecord(tmp_path / "out/records" / f"paraphrase-{name}").header
        assert ("failed", True) == (header.status, reason in (header.error or "")), header.error
        assert reason in last
    assert "completed" == RunRecord(tmp_path / "out/records/paraphrase-sound").header.status


@pytest.mark.slow
def test_a_script_is_refused_before_it_runs(tmp_path: Path) -> None:
    """Exit code 2, and the file that the script would write is not there."""
    (tmp_path / "script.py").write_text("import torch\nopen('mark', 'w').close()\n")
    done = harness("run", "--loops", "plain,script.py", cwd=tmp_path)
    assert (2, []) == (done.returncode, [*tmp_path.glob("mark")])
    assert "harness trace -- python script.py" in done.stderr


@pytest.mark.parametrize("keeps", [True, False])
def test_tf32_that_a_loop_turns_on_while_it_compiles_is_set_back(keeps: bool) -> None:
    """Before the first step, and the record states it. Otherwise the flag stays as it is."""
    model, optimizer = model_and_optimizer()
    matmul, probe = torch.backends.cuda.matmul, Mock()
    before, seen = matmul.allow_tf32, []

    def train(workload: Any, recipe: Any, calls: Any) -> nn.Module:
        matmul.allow_tf32 = True  # as the state of Accelerate does
        calls.watch(model, optimizer)
        seen.append(matmul.allow_tf32)
        return model

    try:
        matmul.allow_tf32 = False
        call_loop(train, None, None, probe, keeps_tf32=keeps)
    finally:
        matmul.allow_tf32 = before
    assert [not keeps] == seen
    assert keeps == probe.remedied.called
    if keeps:
        (what,) = probe.remedied.call_args.args
        assert what.startswith("torch.backends.cuda.matmul.allow_tf32 = False after the model")


def test_only_a_compiled_run_in_matched_conventions_keeps_its_tf32() -> None:
    """In native conventions each library does what it does by itself."""
    for compiled, conventions, expected in (
        ("inductor", "matched", True),
        ("inductor", "native", False),
        (None, "matched", False),
    ):
        asked = spec()
        recipe = asked.recipe.model_copy(update={"compile": compiled})
        asked = asked.model_copy(update={"recipe": recipe, "conventions": conventions})
        assert expected == keeps_tf32(asked)
