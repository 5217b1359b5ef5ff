"""A program is followed line by line: what ran, and which line last set each part of its state."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn

from harness.tracing import lines
from harness.tracing.lines import LineTrace, statement_at
from harness.tracing.state import Entry

Follow = Callable[[str], tuple[LineTrace, dict[str, object]]]


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """Runs the text of a script while it is followed; returns its names too."""
    traced = LineTrace()
    before = sys.gettrace()  # of a measurement of coverage

    def run(text: str) -> tuple[LineTrace, dict[str, object]]:
        file = tmp_path / "script.py"
        file.write_text(dedent(text).lstrip(), encoding="utf-8")
        traced.start()
        try:
            found = runpy.run_path(str(file))
        finally:
            traced.look()
            traced.stop()
        return traced, found

    try:
        yield run
    finally:
        traced.stop()
        sys.settrace(before)


def entries(followed: tuple[LineTrace, dict[str, object]]) -> dict[tuple[str, str], Entry]:
    """The state of the script's `model` and `optimizer` at its end."""
    traced, names = followed
    model, optimizer = names["model"], names.get("optimizer")
    assert isinstance(model, nn.Module)
    found = [*traced.state.entries({"": model}), *traced.state.arguments()]
    if isinstance(optimizer, torch.optim.Optimizer):
        found += traced.state.entries_of_optimizer(optimizer, 1)
    return {(one.kind, one.name): one for one in found}


def line_of(entry: Entry) -> int | None:
    """The number of the line that set it."""
    return entry.line and entry.line[1]


MODEL = """
import torch
from torch import nn
torch.manual_seed(5)
model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(2):
    pass
"""
CHANGES = [
    ("model.eval()", ("attribute", "1.training"), "False"),
    ("model[1].p = 0.3", ("attribute", "1.p"), "0.3"),
    ("model[0].weight.requires_grad_(False)", ("requires_grad", "0.weight"), "False"),
    ("model[0].bias.requires_grad = False", ("requires_grad", "0.bias"), "False"),
    ("model[1] = nn.Identity()", ("class", "1"), "Identity"),
    ("model[0].reset_parameters()", ("weight", "0.weight"), ""),
    ("model[0].weight.data.mul_(2)", ("weight", "0.weight"), ""),
    ("model[0].bias = nn.Parameter(torch.zeros(4))", ("weight", "0.bias"), ""),
    ("optimizer.param_groups[0]['lr'] = 0.2", ("setting", "optimizer 1 group 1 lr"), "0.2"),
    (
        "optimizer.add_param_group({'params': [torch.zeros(2)]})",
        ("setting", "optimizer 1 group 2 params"),
        "1 tensors",
    ),
    ("torch.manual_seed(6)", ("seed", "torch"), "6"),
]


@pytest.mark.parametrize(("change", "key", "value"), CHANGES, ids=[each[0] for each in CHANGES])
def test_the_line_that_changes_a_part_of_the_state(
    follow: Follow, change: str, key: tuple[str, str], value: str
) -> None:
    """It is the last line of the script. `.data` has a counter of its own, and is seen nowhere."""
    found = entries(follow(f"{MODEL}{change}\n"))
    assert value == found[key].value
    seen = ".data" not in change
    assert (8 if seen else 4) == line_of(found[key])


def test_without_a_change_the_line_that_made_a_part_is_known(follow: Follow) -> None:
    """The planted changes above are what moves them."""
    found = entries(follow(MODEL))
    for _, key, _ in CHANGES[:4]:
        assert 4 == line_of(found[key])
    assert 5 == line_of(found["setting", "optimizer 1 group 1 lr"])
    assert 3 == line_of(found["seed", "torch"])


def test_a_change_in_a_function_belongs_to_the_line_there_and_one_after_it_to_the_caller(
    follow: Follow,
) -> None:
    """Also if both stand in one line of the caller."""
    script = """
    from torch import nn
    def build():
        made = nn.Dropout(0.1)
        made.p = 0.2
        return made
    model = build().eval()
    """
    found = entries(follow(script))
    assert 4 == line_of(found["attribute", "p"])
    assert 6 == line_of(found["attribute", "training"])


def test_when_an_optimizer_is_made_and_where_the_settings_of_a_trainer_are(
    follow: Follow,
) -> None:
    """The class of the settings is known by its name, also through a class of the user's."""
    script = (
        MODEL
        + """
from dataclasses import dataclass
@dataclass
class TrainingArguments:
    max_grad_norm: float = 1.0
    label_names: list = None
@dataclass
class Own(TrainingArguments):
    extra: int = 3
args = Own(max_grad_norm=0.5)
"""
    )
    traced, names = follow(script)
    found = entries((traced, names))
    assert ("before step 1", 5) == (
        found["made", "optimizer 1"].value,
        line_of(found["made", "optimizer 1"]),
    )
    assert ("0.5", 17) == (
        found["argument", "max_grad_norm"].value,
        line_of(found["argument", "max_grad_norm"]),
    )
    assert "3" == found["argument", "extra"].value
    traced.state.steps = 4
    later = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.1)
    traced.state.add([later])
    traced.state.look(("train.py", 30))
    made = next(traced.state.entries_of_optimizer(later, 2))
    assert "optimizer 2" == made.name
    assert ("after step 4", ("train.py", 30)) == (made.value, made.line)


def test_what_changes_while_nothing_looks_has_no_line(
    follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking has a share of the time; without any, no line is claimed."""
    monkeypatch.setattr("harness.tracing.state._FREE_S", -1.0)
    monkeypatch.setattr("harness.tracing.state._SHARE", 0.0)
    traced, names = follow(MODEL + "model.eval()\n")
    monkeypatch.undo()
    traced.look()
    assert entries((traced, names))["attribute", "1.training"].line is None


def test_the_statements_that_ran_in_the_order_of_their_first_run(follow: Follow) -> None:
    """A head without its body, a statement of several lines once, no text and no definition."""
    script = '''
    """A text."""
    import math
    def double(x):
        """Another."""
        if x > 5:
            return 0
        return 2 * x
    for n in range(2):
        double(
            n
        )
    if n:
        done = True
    else:
        done = False
    '''
    traced, _ = follow(script)
    ran = [(one.number, one.place.rpartition("/")[2], one.source) for one in traced.statements()]
    assert sorted(number for number, _, _ in ran if number) == list(range(1, ran[-1][0] + 1))
    assert [
        ("script.py:8", "for n in range(2):"),
        ("script.py:9", "double(n)"),
        ("script.py:5", "if x > 5:"),
        ("script.py:7", "return 2 * x"),
        ("script.py:12", "if n:"),
        ("script.py:13", "done = True"),
    ] == [(place, text) for _, place, text in ran if place.startswith("script.py")]


def test_statements_of_a_module_that_was_imported_before_have_no_number(tmp_path: Path) -> None:
    """They ran, at a time that is not known."""
    file = tmp_path / "earlier.py"
    file.write_text("FACTOR = 3\ndef times(x):\n    return FACTOR * x\n", encoding="utf-8")
    names = runpy.run_path(str(file))
    traced, before = LineTrace(), sys.gettrace()
    traced.start()
    try:
        names["times"](2)
    finally:
        traced.stop()
        sys.settrace(before)
    own = [one[:3] for one in traced.statements() if "earlier.py" in one.place]
    assert [(0, "FACTOR = 3"), (1, "return FACTOR * x")] == [
        (number if not number else 1, text) for number, _, text in own
    ]


def test_a_forked_process_is_not_followed(tmp_path: Path) -> None:
    """As the workers of a loader: they would be slowed down, and nobody reads what they note."""
    traced, before = LineTrace(), sys.gettrace()
    file = tmp_path / "work.py"
    file.write_text("def work():\n    return 1\n", encoding="utf-8")
    work = runpy.run_path(str(file))["work"]
    traced.start()
    try:
        child = os.fork()
        if not child:
            work()
            os._exit(0 if sys.gettrace() is None else 1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert sys.gettrace() is not None
    finally:
        traced.stop()
        sys.settrace(before)


def test_a_program_that_a_debugger_follows_is_left_to_it() -> None:
    """There is one such function in a thread."""

    def debugger(*_: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(debugger)
    try:
        assert lines.start() is None
        assert debugger is sys.gettrace()
    finally:
        sys.settrace(before)


def test_a_line_of_no_file_has_no_statement() -> None:
    """As of code that is generated."""
    assert statement_at(("no/such/file.py", 3)) is None


def test_the_constructors_are_as_they_were_afterwards(follow: Follow) -> None:
    """Of modules and optimizers."""
    constructors = nn.Module.__init__, torch.optim.Optimizer.__init__
    follow(MODEL)
    assert constructors == (nn.Module.__init__, torch.optim.Optimizer.__init__)
