"""The statements that only one of two programs ran, and the state that they set differently."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.comparison.programs import arguments_of, compare_state, compare_statements
from harness.results.divergence import Divergence
from harness.results.localization import Code, StateDifference, StatementDifferences
from harness.results.record import RunRecord
from tests.support.records import Draft, Row, command_draft, fake_digest, renamed

PROGRAM = ["a = 1", "for n in range(3):", "b = n", "c = b", "d = c", "e = d"]


def with_statements(texts: Sequence[str], file: str, earlier: Sequence[str] = ()) -> Draft:
    """A record of a replay in which these ran."""
    rows = [(0, text) for text in earlier] + list(enumerate(texts, start=1))
    made = command_draft()
    module = {"step": 1, "rank": 0, "function": "", "parameters": []}
    made.rows["statements"] = [
        {**module, "number": n, "place": f"{file}.py:{line}", "source": text}
        for line, (n, text) in enumerate(rows, start=1)
    ]
    return made


def statements(
    folder: Path, one: Draft, two: Draft
) -> tuple[StatementDifferences | None, RunRecord, RunRecord]:
    """The comparison of both, and their records."""
    left, right = one.write(folder / "one"), two.write(folder / "two")
    return compare_statements(left, right), left, right


def test_what_ran_in_one_alone_is_listed_at_its_place(tmp_path: Path) -> None:
    """A line that is replaced, one that is gone, and one that is new."""
    other = ["a = 1", "for n in range(3):", "b = n + 1", "c = b", "e = d", "f = e"]
    found, *_ = statements(tmp_path, with_statements(PROGRAM, "one"), with_statements(other, "two"))
    assert found == StatementDifferences(
        statements=(6, 6),
        places=(
            (
                (Code(place="one.py:3", source="b = n"),),
                (Code(place="two.py:3", source="b = n + 1"),),
            ),
            ((Code(place="one.py:5", source="d = c"),), ()),
            ((), (Code(place="two.py:6", source="f = e"),)),
        ),
    )


def test_equal_programs_have_no_place(tmp_path: Path) -> None:
    """Whatever their files are called."""
    found, *_ = statements(
        tmp_path, with_statements(PROGRAM, "one"), with_statements(PROGRAM, "two")
    )
    assert StatementDifferences(statements=(6, 6)) == found


def test_a_moved_statement_is_at_two_places(tmp_path: Path) -> None:
    """Such as gradients that are cleared after the backward pass."""
    moved = [*PROGRAM[:2], *PROGRAM[3:], PROGRAM[2]]
    found, *_ = statements(tmp_path, with_statements(PROGRAM, "one"), with_statements(moved, "two"))
    assert found is not None
    assert ["one.py:3", "two.py:6"] == [
        code.place for place in found.places for side in place for code in side
    ]


def test_what_the_other_ran_before_it_was_followed_is_not_one_runs_alone(tmp_path: Path) -> None:
    """As a module that was imported earlier; a statement that is not there is."""
    found, *_ = statements(
        tmp_path,
        with_statements(PROGRAM[1:], "one", earlier=PROGRAM[:1]),
        with_statements(["z = 0", *PROGRAM], "two"),
    )
    assert found is not None
    assert [((), (Code(place="two.py:1", source="z = 0"),))] == list(found.places)


@pytest.mark.parametrize(
    ("other", "note"),
    [
        (["x = 1", "y = 2", "c = b"], "the two programs share 1 of their 6 and 3 statements"),
        (
            [text for n in range(13) for text in (f"new = {n}", f"same = {n}")],
            "the two programs differ in 13 statements at 13 places",
        ),
        (
            [*PROGRAM, *(f"m = {n}" for n in range(25))],
            "the two programs differ in 25 statements at 1 place",
        ),
        ([f"n = {n}" for n in range(5001)], "more than 5000 statements ran"),
    ],
    ids=["two programs", "many places", "many at one place", "too many"],
)
def test_programs_that_are_no_versions_of_one_are_not_listed(
    tmp_path: Path, other: list[str], note: str
) -> None:
    """A list of everything would tell nobody anything."""
    known = [f"same = {n}" for n in range(13)] if len(other) == 26 else PROGRAM
    found, *_ = statements(tmp_path, with_statements(known, "one"), with_statements(other, "two"))
    assert found is not None
    assert found.note.startswith(note)
    assert found.two_programs == note.startswith("the two programs share")
    assert not found.places


def test_without_the_trace_nothing_is_known(tmp_path: Path) -> None:
    """As where a debugger followed the program."""
    found, *_ = statements(tmp_path, with_statements(PROGRAM, "one"), command_draft())
    assert found is None


def row(kind: str, name: str, value: str, line: int | None) -> Row:
    """One part of the state, set by a line."""
    place = f"train.py:{line}" if line else ""
    source = f"line {line}" if line else ""
    own = {"kind": kind, "name": name, "value": value}
    return {"step": 1, "rank": 0, **own, "place": place, "source": source}


STATE = [
    row("seed", "torch", "42", 1),
    row("class", "", "Sequential", 2),
    row("class", "0", "Linear", 2),
    row("attribute", "0.training", "True", 2),
    row("attribute", "1.training", "True", 2),
    row("requires_grad", "0.weight", "True", 2),
    row("requires_grad", "0.bias", "True", 2),
    row("setting", "optimizer 1 group 1 lr", "0.1", 3),
    row("setting", "optimizer 1 group 1 foreach", "None", 3),
    row("made", "optimizer 1", "before step 1", 3),
    row("argument", "max_grad_norm", "1.0", 4),
    row("argument", "output_dir", "one", 4),
]


def state(
    folder: Path, changed: Sequence[Row], first: str = "gradients", more: Sequence[str] = ()
) -> list[StateDifference]:
    """What differs if the candidate has `changed` in place of the rows of their names.

    `more`: tensors with other initial weights.
    """
    records = []
    new = {(each["kind"], each["name"]): each for each in changed}
    for name, rows in (
        ("one", STATE),
        ("two", list(({(r["kind"], r["name"]): r for r in STATE} | new).values())),
    ):
        made = command_draft()
        made.rows["state"] = [each for each in rows if each["value"] != "gone"]
        if name == "two":
            for tensor in made.rows["tensors"]:
                if tensor["step"] == 0 and tensor["tensor"] in more:
                    tensor["weight"] = fake_digest("another")
        records.append(made.write(folder / name))
    divergence = Divergence.model_validate(
        {"step": 1, "micro_batch": None, "stage": first, "tensor": None}
        | {"reference": 1, "candidate": 2}
    )
    return list(compare_state(records[0], records[1], divergence))


def test_equal_states_have_no_difference(tmp_path: Path) -> None:
    """Also if other lines set them."""
    assert not state(tmp_path, [row("seed", "torch", "42", 9)])


def test_parts_that_one_line_sets_are_one_difference(tmp_path: Path) -> None:
    """With both values, and the line of each run."""
    frozen = [row("requires_grad", f"0.{name}", "False", 8) for name in ("weight", "bias")]
    (found,) = state(tmp_path, frozen)
    assert found == StateDifference(
        kind="requires_grad",
        what="",
        names=("0.weight", "0.bias"),
        count=2,
        values=("True", "False"),
        reference=Code(place="train.py:2", source="line 2"),
        candidate=Code(place="train.py:8", source="line 8"),
    )


@pytest.mark.parametrize(
    ("changed", "kind", "what", "name"),
    [
        (row("seed", "torch", "43", 7), "seed", "", "torch"),
        (row("class", "0", "Identity", 7), "class", "", "0"),
        (row("class", "2", "Dropout", 7), "class", "", "2"),
        (row("class", "0", "gone", 7), "class", "", "0"),
        (row("attribute", "1.training", "False", None), "attribute", "training", "1"),
        (
            row("setting", "optimizer 1 group 1 lr", "0.2", 7),
            "setting",
            "lr",
            "optimizer 1 group 1",
        ),
    ],
)
def test_each_kind_of_state(tmp_path: Path, changed: Row, kind: str, what: str, name: str) -> None:
    """A module that only one run has is one, too."""
    (found,) = state(tmp_path, [changed])
    assert (kind, what, (name,)) == (found.kind, found.what, found.names)
    assert (found.values[1] is None) == (changed["value"] == "gone")


@pytest.mark.parametrize(
    "changed",
    [
        row("setting", "optimizer 1 group 1 foreach", "True", 7),
        row("setting", "optimizer 1 group 1 lr", "gone", 7),
        row("attribute", "0.extra", "5", 7),
        row("argument", "output_dir", "two", 4),
        row("argument", "max_grad_norm", "gone", 4),
    ],
)
def test_what_computes_the_same_or_has_no_partner_is_no_difference(
    tmp_path: Path, changed: Row
) -> None:
    """Such a setting is only how an optimizer computes."""
    assert not state(tmp_path, [changed])


def test_initial_weights_show_the_lines_that_set_them_where_they_differ(tmp_path: Path) -> None:
    """At no later stage, where every update has set them."""
    name = "classifier.weight"
    weights = [row("weight", name, "", 5), row("weight", "encoder.weight", "", 6)]
    STATE.extend(weights)
    try:
        (found,) = state(tmp_path / "a", [], "initial_weights", [name])
        assert ("weight", (name,), 1) == (found.kind, found.names, found.count)
        assert not state(tmp_path / "b", [], "loss", [name])
    finally:
        del STATE[-2:]


def test_initial_weights_under_other_names_are_compared_by_their_values(tmp_path: Path) -> None:
    """One of two differs; a prefix alone is no difference."""
    one, two = command_draft("one"), renamed(command_draft("two"), "net.")
    names = [each["tensor"] for each in one.rows["tensors"] if each["step"] == 0][:2]
    one.rows["state"] = [row("weight", name, "", 5) for name in names]
    two.rows["state"] = [row("weight", f"net.{name}", "", 6) for name in names]
    two.tensor(0, f"net.{names[1]}")["weight"] ^= 1
    left, right = one.write(tmp_path / "one"), two.write(tmp_path / "two")
    first = Divergence.model_validate({"step": 0, "stage": "initial_weights"})
    (found,) = compare_state(left, right, first)
    assert ("weight", (names[1],), 1) == (found.kind, found.names, found.count)


def test_two_models_that_share_no_names_are_not_listed_module_by_module(tmp_path: Path) -> None:
    """Only the seed can be compared."""
    gone = [dict(each, value="gone") for each in STATE[1:]]
    new = [row("class", f"other.{n}", "Linear", 7) for n in range(9)]
    assert not state(tmp_path, [*gone, *new])


def test_the_state_of_a_model_under_other_names_is_compared_by_those_of_the_reference(
    tmp_path: Path,
) -> None:
    """A module that no tensor matches has no partner, which says nothing."""
    names = {
        "embedding.weight": "net.first.weight",
        "classifier.weight": "net.last.weight",
        "classifier.bias": "net.last.bias",
    }
    one, two = command_draft(), command_draft()
    for made, modules in (
        (one, ("embedding", "classifier", "")),
        (two, ("net.first", "net.last", "")),
    ):
        made.rows["state"] = [
            row("attribute", f"{name}.p".removeprefix("."), "1", 2) for name in modules
        ]
    two.rows["state"][0]["value"] = "3"
    for tensor in two.rows["tensors"]:
        tensor["tensor"] = names.get(tensor["tensor"], tensor["tensor"])
    two.header["parameter_names"] = [names.get(n, n) for n in two.header["parameter_names"]]
    left, right = one.write(tmp_path / "one"), two.write(tmp_path / "two")
    first = Divergence.model_validate({"step": 1, "stage": "loss"})
    (found,) = compare_state(left, right, first)
    assert (("embedding",), "p", ("1", "3")) == (found.names, found.what, found.values)


def test_the_statement_that_made_the_settings_of_a_trainer(tmp_path: Path) -> None:
    """None where there is no Trainer."""
    made = command_draft()
    made.rows["state"] = STATE
    found = arguments_of(made.write(tmp_path / "with"))
    assert Code(place="train.py:4", source="line 4") == found
    assert arguments_of(command_draft().write(tmp_path / "without")) is None


def test_a_statement_is_compared_whole_and_shown_as_far_as_it_is_read(tmp_path: Path) -> None:
    """As a call with many arguments of which the last differs."""
    long = "call(" + ", ".join(f"argument_{n}={n}" for n in range(30))
    sides = ([*PROGRAM, f"{long}, last={n})"] for n in (1, 2))
    one, two = (with_statements(side, name) for side, name in zip(sides, "ab", strict=True))
    found, *_ = statements(tmp_path, one, two)
    assert found is not None
    (((left,), (right,)),) = found.places
    assert left.source == right.source
    assert (160, "...") == (len(left.source), left.source[-3:])
