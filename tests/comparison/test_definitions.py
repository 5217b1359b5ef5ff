"""The statements that set what a line reads are found in the statements that ran."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from harness.comparison.definitions import Read, compare_definitions, definitions_of
from harness.results.localization import (
    Code,
    Localization,
    Operation,
    OperationDifference,
    StateDifference,
)
from harness.results.record import RunRecord
from harness.tracing.lines import LineTrace
from tests.support.records import command_draft

Sites = Sequence[tuple[int, str]]


def ran(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    """The record of a replay of a script, of which each statement ran in its order."""
    file = folder / "script.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text).lstrip(), encoding="utf-8")
    monkeypatch.chdir(folder)
    traced = LineTrace()
    for line in range(1, text.count("\n") + 1):
        traced._ran[str(file), line] = None  # as if it had been followed
    traced._modules.add(str(file))
    made = command_draft()
    made.rows["statements"] = [
        {"step": 1, "rank": 0, **one._asdict(), "parameters": list(one.parameters)}
        for one in traced.statements()
    ]
    return made.write(folder / "record")


def code(line: int, source: str) -> Code:
    return Code(place=f"script.py:{line}", source=source)


FOUND: dict[str, tuple[str, Read, list[int]]] = {
    "a constant of the module": (
        """
        RATE = 1e-3
        optimizer = SGD(parameters, lr=RATE)
        """,
        Read(code(2, "SGD(parameters, lr=RATE)"), "lr"),
        [1],
    ),
    "only what the setting reads": (
        """
        RATE = 1e-3
        DECAY = 0.1
        optimizer = SGD(parameters, lr=RATE, weight_decay=DECAY)
        """,
        Read(code(3, "SGD(parameters, lr=RATE, weight_decay=DECAY)"), "weight_decay"),
        [2],
    ),
    "an expression, and what it reads": (
        """
        WIDTH = 16
        edge = math.sqrt(3 / WIDTH)
        weight.uniform_(-edge, edge)
        """,
        Read(code(3, "weight.uniform_(-edge, edge)")),
        [2, 1],
    ),
    "a parameter of a function, at its call": (
        """
        def uniform(*shape, bound):
            return torch.empty(*shape).uniform_(-bound, bound)
        edge = 0.25
        weight = uniform(3, 4, bound=edge)
        """,
        Read(code(2, "torch.empty(*shape).uniform_(-bound, bound)")),
        [4, 3],
    ),
    "a parameter of a function that is handed over": (
        """
        def forward(layers, x, training):
            return dropout(layers(x), 0.2, training)
        teach = partial(forward, big, training=True)
        """,
        Read(code(2, "dropout(layers(x), 0.2, training)")),
        [3],
    ),
    "an attribute, set in the constructor from its argument": (
        """
        class Loss:
            def __init__(self, temperature):
                self.temperature = temperature
            def __call__(self, logits):
                return logits / self.temperature
        loss = Loss(2.0)
        """,
        Read(code(5, "logits / self.temperature")),
        [3, 6],
    ),
    "not a name of another function": (
        """
        def other():
            rate = 3
        def own(parameters, rate):
            return SGD(parameters, lr=rate)
        optimizer = own(parameters, 0.1)
        """,
        Read(code(4, "SGD(parameters, lr=rate)"), "lr"),
        [5],
    ),
    "not a value that is computed": (
        """
        hidden = model(batch)
        loss = hidden.mean()
        """,
        Read(code(2, "hidden.mean()")),
        [],
    ),
    "a value that is computed, where values made earlier are of interest": (
        """
        order = torch.randperm(40)
        rows = order[3:8]
        """,
        Read(code(2, "order[3:8]"), computed=True),
        [1],
    ),
    "not a name that is counted up": (
        """
        updates = 0
        group["lr"] = 0.1 * updates
        updates += 1
        """,
        Read(code(2, 'group["lr"] = 0.1 * updates'), "lr"),
        [],
    ),
    "not a name that is set in many places": (
        """
        rate = 1
        rate = 2
        rate = 3
        rate = 4
        step(rate)
        """,
        Read(code(5, "step(rate)")),
        [],
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_a_line_reads_is_followed_to_what_set_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the function, at its calls, or in the module; nothing where that is not known."""
    text, read, lines = FOUND[name]
    found = definitions_of(ran(tmp_path, text, monkeypatch), [read])
    assert [f"script.py:{line}" for line in lines] == [one.place for one in found]


def test_what_both_runs_set_alike_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of operations, draws and settings; a line of a library reads the library's names."""
    records, operations, settings = [], [], []
    for name, keep, rate in (("one", 0.9, 0.1), ("two", 0.8, 0.2)):
        text = f"WIDTH = 4\nKEEP = {keep}\nRATE = {rate}\nmask(WIDTH, KEEP)\nSGD(p, lr=RATE)\n"
        records.append(ran(tmp_path / name, text, monkeypatch))
        one = Operation(
            operation="aten.mul", phase="update", place="script.py:4", source="mask(WIDTH, KEEP)"
        )
        operations.append(one)
        settings.append(code(5, "SGD(p, lr=RATE)"))
    difference = OperationDifference(
        kind="others", reference=operations[0], candidate=operations[1]
    )
    state = StateDifference(
        kind="setting",
        what="lr",
        names=("optimizer 1 group 1",),
        count=1,
        values=("0.1", "0.2"),
        reference=settings[0],
        candidate=settings[1],
    )
    found = Localization(operation=difference, state=(state,))

    sides = compare_definitions(records[0], records[1], found)

    assert ["KEEP = 0.9", "RATE = 0.1"] == [one.source for one in sides[0]]
    assert ["KEEP = 0.8", "RATE = 0.2"] == [one.source for one in sides[1]]
    inside = operations[0].model_copy(update={"library": "accelerate/optimizer.py:3"})
    of_library = difference.model_copy(update={"reference": inside, "candidate": None})
    found = Localization(operation=of_library)
    assert ((), ()) == compare_definitions(records[0], records[1], found)
