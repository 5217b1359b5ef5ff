"""The command line and `harness.run` refuse the same requests, each in its own spelling."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.cli import main as cli
from harness.errors import SpecError
from harness.spec.recipe import build
from harness.spec.request import RunRequest
from harness.spec.spelling import Spelling, command_words, spelled

NODES = {"nnodes": 2, "node_rank": 1, "master_addr": "localhost", "out": Path("shared")}
WITH = {"requirements": ("transformers==1",)}

# Fields of a request; the rule, in which an option stands in braces; fields named in the remedy.
RULES: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({"cases": ("paraphrse",)}, "unknown case", ()),
    ({"cases": ("paraphrase", "paraphrase")}, "each case of a run has its own name", ()),
    ({"suite": "matrx"}, "unknown suite", ()),
    ({"suite": "matrix", "cases": ("mrpc",)}, "a suite has its own cases", ()),
    ({"loops": ()}, "a run needs a loop", ("loops",)),
    ({"loops": ("plain", "trainr")}, "unknown loop", ()),
    ({"settings": {"learning_rte": 1}}, "unknown key for paraphrase", ()),
    ({"settings": {"learning_rate": -1}}, "learning_rate: ", ()),
    ({"conventions": "nativ"}, "unknown conventions", ()),
    ({"device": "cdua"}, "unknown device", ()),
    ({"devices": ("cpu",)}, "{devices} takes two different devices", ("devices",)),
    ({"devices": ("cpu", "cpu")}, "{devices} takes two different devices", ("devices",)),
    ({"devices": ("cpu", "cdua")}, "unknown device", ()),
    ({"devices": ("cpu", "cuda"), "device": "cpu"}, "{devices} chooses the devices", ("device",)),
    ({"devices": ("cpu", "cuda"), "digests": "host"}, "{devices} chooses", ("digests",)),
    ({"digests": "hots"}, "unknown digests", ()),
    ({"detail": "wieghts"}, "unknown detail", ()),
    ({"detail": "steps", "noise": 8}, "noise band is measured on full traces", ("detail", "noise")),
    ({"launcher": "torchrn"}, "unknown launcher", ()),
    ({"launcher_config": "x"}, "{launcher_config} configures accelerate launch", ("launcher",)),
    ({"seeds": 1}, "{seeds} takes 2 or more", ("seeds",)),
    ({"margins": {"accuracy": 0.1}}, "{margins} applies to several seeds", ("seeds",)),
    ({"seeds": 2, "margins": {"acuracy": 0.1}}, "unknown metric with a margin", ()),
    ({"seeds": 2, "margins": {"accuracy": -1}}, "a margin is a positive number", ()),
    ({"noise": 3}, "{noise} takes 4 draws or more", ("noise",)),
    ({"localize": True, "seeds": 2}, "{localize} replays pairs of single runs", ("seeds",)),
    ({"localize": True, "devices": ("cpu", "cuda")}, "{localize} replays pairs", ("devices",)),
    ({"localize": True, **NODES}, "{localize} replays pairs", ("nnodes",)),
    ({"resume": True}, "{resume} continues in an output folder", ("out",)),
    ({"resume_at": 3, "settings": {"save_every": 4}}, "a resumed run needs a checkpoint", ()),
    ({"node_rank": 1}, "{node_rank} counts from 0", ("node_rank",)),
    ({"nnodes": 2}, "{node_rank} numbers each node", ("node_rank",)),
    ({"nnodes": 2, "node_rank": 0}, "{master_addr} is the address", ("master_addr",)),
    ({**NODES, "out": None}, "{out} is one folder", ("out",)),
    ({**NODES, "jobs": 2}, "several nodes make one run at a time", ("jobs",)),
    ({**NODES, "launcher": "notebook"}, "notebook_launcher works on one node", ("launcher",)),
    ({**NODES, "resume_at": 2}, "{resume_at} works on one node", ("resume_at",)),
    ({**WITH, "interpreters": ("x",)}, "libraries come from interpreters or requirements", ()),
    ({**WITH, "devices": ("cpu", "cuda")}, "{requirements} compare each loop", ("devices",)),
    ({**WITH, "noise": 8}, "{requirements} compare each loop with itself", ("noise",)),
    ({**WITH, "localize": True}, "{requirements} compare each loop with itself", ("localize",)),
    ({**WITH, "launcher": "accelerate"}, "its own interpreters", ("launcher",)),
]
ARGUMENTS = set(inspect.signature(harness.run).parameters) | {"cases", "settings"}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(message: str, rule: str, remedy: tuple[str, ...], spelling: Spelling) -> None:
    """One line, with the rule and the options of the remedy as this door spells them."""
    names = {name: spelled(spelling, name) for name in RunRequest.model_fields}
    assert rule.format(**names) in message
    assert "\n" not in message
    _, _, advice = message.rpartition("): ")
    for name in remedy:
        assert names[name] in advice


@pytest.mark.parametrize(("fields", "rule", "remedy"), RULES)
def test_the_command_line_refuses_it(
    fields: dict[str, Any],
    rule: str,
    remedy: tuple[str, ...],
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With exit code 2, and nothing is left behind."""
    words = ["harness", "run", *fields.get("cases", ()), *command_words(fields)]
    monkeypatch.setattr(sys, "argv", words)
    assert 2 == cli.main()
    check(capsys.readouterr().err.removesuffix("\n"), rule, remedy, "command line")
    assert [] == list(empty.iterdir())


@pytest.mark.parametrize(
    ("fields", "rule", "remedy"),
    [row for row in RULES if row[0].keys() <= ARGUMENTS and len(row[0].get("cases", ())) < 2],
)
def test_python_refuses_it(
    fields: dict[str, Any], rule: str, remedy: tuple[str, ...], empty: Path
) -> None:
    """With `SpecError`, and nothing is left behind."""
    arguments = {k: v for k, v in fields.items() if k not in ("cases", "settings")}
    case = fields.get("cases", ("paraphrase",))[0]
    with pytest.raises(SpecError) as caught:
        harness.run(case, **arguments, **fields.get("settings", {}))
    check(str(caught.value), rule, remedy, "python")
    assert [] == list(empty.iterdir())


def test_what_fits_is_not_refused() -> None:
    """Control: the options of each rule are accepted by themselves."""
    for fields in (
        {},
        {"devices": ("cpu", "cuda"), "seeds": 2, "margins": {"accuracy": 0.1}},
        {"detail": "full", "noise": 8, "localize": True},
        {"launcher": "accelerate", "launcher_config": "x", "processes": 2},
        {**NODES, "jobs": 1},
        {**WITH, "seeds": 2},
        {"suite": "matrix", "device": "cpu", "digests": "device"},
    ):
        assert build(RunRequest, fields).base_cases
