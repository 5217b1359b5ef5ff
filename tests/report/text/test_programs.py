"""What two programs did in Python is told in sentences, each with its lines of code."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.text.programs import program_parts
from harness.results.comparison import Comparison, Fact
from harness.results.localization import (
    Code,
    Localization,
    Operation,
    OperationDifference,
    StateDifference,
    StatementDifferences,
)
from tests.support.small_report import DIFFERENT

A, B = DIFFERENT.reference, DIFFERENT.candidate
ONE, TWO = Code(place="a.py:3", source="x = 1"), Code(place="b.py:4", source="x = 2")


def pair(*state: StateDifference, facts: Any = (), **more: Any) -> Comparison:
    """A pair that was localized at step 3."""
    found = Localization.model_validate({"step": 3, "state": state, **more})
    return DIFFERENT.model_copy(update={"localization": found, "facts": facts})


def difference(kind: Any, values: tuple[str | None, str | None], **more: Any) -> StateDifference:
    """One of a single name, with the lines of both runs."""
    given = {"what": "", "names": ("layer",), "count": 1, "reference": ONE, "candidate": TWO}
    return StateDifference.model_validate({**given, "kind": kind, "values": values, **more})


SENTENCES = [
    (
        difference("attribute", ("True", "False"), what="training", names=("", "1"), count=12),
        f"training of the model and 11 more is True in {A} and False in {B}",
    ),
    (
        difference("seed", ("1", "2"), names=("torch",)),
        f"the seed of torch's global generator is 1 in {A} and 2 in {B}",
    ),
    (
        difference("requires_grad", ("True", "False"), names=("a", "b"), count=5),
        f"requires_grad of a and 4 more is True in {A} and False in {B}",
    ),
    (
        difference("attribute", ("True", "False"), what="training"),
        f"training of module layer is True in {A} and False in {B}",
    ),
    (
        difference("attribute", ("0.1", "0.2"), what="scale", names=("",)),
        f"scale of the model is 0.1 in {A} and 0.2 in {B}",
    ),
    (
        difference("class", ("Linear", "Identity")),
        f"the class of module layer is Linear in {A} and Identity in {B}",
    ),
    (
        difference("class", (None, "Dropout")),
        f"{B} has the module layer, a Dropout, and {A} has not",
    ),
    (
        difference("class", ("Dropout", None)),
        f"{A} has the module layer, a Dropout, and {B} has not",
    ),
    (
        difference("setting", ("0.1", "0.2"), what="lr", names=("optimizer 1 group 2",)),
        f"lr of optimizer 1 group 2 is 0.1 in {A} and 0.2 in {B}",
    ),
    (
        difference("made", ("before step 1", "after step 5"), names=("optimizer 1",)),
        f"optimizer 1 was made before step 1 in {A} and after step 5 in {B}",
    ),
    (
        difference("argument", ("1", "2"), what="seed", names=("TrainingArguments",)),
        f"seed of TrainingArguments is 1 in {A} and 2 in {B}",
    ),
    (
        difference("weight", ("", "")),
        "the initial values of layer were last set where the lines show",
    ),
]


@pytest.mark.parametrize(("one", "text"), SENTENCES, ids=[str(n) for n in range(len(SENTENCES))])
def test_each_difference_of_the_state_is_a_sentence(one: StateDifference, text: str) -> None:
    """With the step, and the line of each run."""
    (part,) = program_parts(pair(one))
    assert f"Step 3: {text}." == part.sentence
    assert ((A, "a.py:3  x = 1"), (B, "b.py:4  x = 2")) == part.lines


def test_a_line_that_is_not_known_is_left_out() -> None:
    """The values are told all the same."""
    (part,) = program_parts(pair(difference("seed", ("1", "2"), reference=None)))
    assert ((B, "b.py:4  x = 2"),) == part.lines


def test_what_a_fact_tells_with_its_lines_is_not_told_again() -> None:
    """A fact of one other line leaves it."""
    given = {"id": "x", "text": "x", "reference": 1, "candidate": 2}
    fact = Fact(**given, reference_site="a.py:3", candidate_site="b.py:4")
    other = Fact(**given, reference_site="a.py:3", candidate_site="b.py:9")
    one = difference("attribute", ("0.1", "0.2"), what="p")
    assert not program_parts(pair(one, facts=(fact,)))
    assert program_parts(pair(one, facts=(other,)))


def test_of_many_differences_the_first_are_told_and_the_others_counted() -> None:
    """A whole list is in `report.json`."""
    many = [
        difference("attribute", ("1", "2"), what=f"w{n}", candidate=Code(place=f"b:{n}", source=""))
        for n in range(8)
    ]
    parts = program_parts(pair(*many))
    assert 6 == len(parts)
    assert "3 more values that were set differently are in report.json." == parts[-1].sentence


def test_statements_of_one_run_alone_are_listed_except_where_they_are_shown_already() -> None:
    """At their places, those of the reference first."""
    new = Code(place="b.py:9", source="y = 3")
    found = StatementDifferences(statements=(10, 11), places=(((ONE,), (TWO,)), ((), (new,))))
    (part,) = program_parts(pair(statements=found))
    assert (
        "Statements that only one of the two ran until step 3 ended: "
        f"1 of 10 in {A}, 2 of 11 in {B}." == part.sentence
    )
    assert ((A, "a.py:3  x = 1"), (B, "b.py:4  x = 2"), (B, "b.py:9  y = 3")) == part.lines
    rest = program_parts(pair(difference("seed", ("1", "2")), statements=found))[-1]
    assert rest.sentence.endswith(f"2 of 11 in {B}; those not shown above.")
    assert ((B, "b.py:9  y = 3"),) == rest.lines


@pytest.mark.parametrize(
    "found",
    [
        StatementDifferences(statements=(10, 10)),
        StatementDifferences(statements=(10, 90), note="the two programs differ in 60 places"),
        None,
    ],
)
def test_nothing_to_list_is_no_sentence(found: StatementDifferences | None) -> None:
    """That two programs are written differently is no news."""
    assert not program_parts(pair(statements=found))


def operation(name: str) -> Operation:
    """One at a line of its name."""
    place = {"place": f"{name}.py:1", "source": f"{name}()"}
    return Operation.model_validate({"operation": f"aten.{name}", "phase": "before", **place})


SHUFFLE, DRAW = operation("randperm"), operation("rand")
DRAWS = [
    (
        ("random", SHUFFLE, SHUFFLE, ()),
        "randperm draws other numbers: the random generator differs ",
    ),
    (
        ("arguments", SHUFFLE, SHUFFLE, (("generator.seed", "1", "2"),)),
        f"randperm draws other numbers: generator.seed = 1 in {A}, 2 in {B}.",
    ),
    (
        ("others", SHUFFLE, DRAW, ()),
        "the first numbers that one run alone draws come from randperm in "
        f"{A} and from rand in {B}.",
    ),
    (("one_side", SHUFFLE, None, ()), f"{A} draws numbers that the other does not, with randperm."),
    (("one_side", None, DRAW, ()), f"{B} draws numbers that the other does not, with rand."),
]


@pytest.mark.parametrize(("draw", "text"), DRAWS, ids=[str(n) for n in range(len(DRAWS))])
def test_a_draw_that_differs_is_a_sentence(draw: Any, text: str) -> None:
    """With the lines that draw."""
    kind, one, two, arguments = draw
    found = OperationDifference(kind=kind, reference=one, candidate=two, arguments=arguments)
    (part,) = program_parts(pair(draw=found))
    assert part.sentence.startswith(f"Step 3: {text}")
    assert sum(each is not None for each in (one, two)) == len(part.lines)


def test_the_settings_of_a_trainer_are_shown_where_it_computes() -> None:
    """And not where a line of the user's own code does."""
    inside = operation("mul").model_copy(update={"library": "transformers/trainer.py:9"})
    own = operation("mul")
    for one, told in ((inside, True), (own, False)):
        found = OperationDifference(kind="one_side", candidate=one)
        parts = program_parts(pair(operation=found, operations=(3, 3), arguments=(None, TWO)))
        wanted = [(f"The settings of the Trainer in {B}:", ((B, "b.py:4  x = 2"),))]
        assert (wanted if told else []) == [tuple(part) for part in parts]


TWO_PROGRAMS = StatementDifferences(statements=(9, 8), note="the two programs share 1 statement")
VERSIONS = StatementDifferences(statements=(9, 9))


def code(number: int) -> Code:
    return Code(place=f"train.py:{number}", source=f"call({number})")


def test_two_programs_show_what_they_read_and_where_what_differs_passes() -> None:
    """A line that one run shows is shown of the other too, though their files have one name."""
    one = Operation(operation="aten.mul", phase="backward", **code(3).model_dump())
    more: dict[str, Any] = {
        "operation": OperationDifference(kind="one_side", reference=one),
        "definitions": ((code(1),), (code(2),)),
        "lines": ((code(3), code(1), code(4)), (code(3), code(2))),
    }
    read, passed = program_parts(pair(statements=TWO_PROGRAMS, **more))

    assert "Statements that may have set what these lines read:" == read.sentence
    assert ((A, "train.py:1  call(1)"), (B, "train.py:2  call(2)")) == read.lines
    assert ((A, "train.py:4  call(4)"), (B, "train.py:3  call(3)")) == passed.lines
    assert passed.sentence.startswith("Step 3: the first lines that make values which lead to")


def test_of_two_versions_of_a_program_the_statements_are_enough() -> None:
    """The control: nothing is guessed where the statements themselves are compared."""
    more: dict[str, Any] = {"definitions": ((code(1),), ()), "lines": ((), (code(2),))}
    assert [] == program_parts(pair(statements=VERSIONS, **more))


def test_a_line_without_its_source_ends_without_blanks() -> None:
    unknown = Code(place="a.py:3", source="")
    found = pair(difference("seed", ("1", "2"), reference=unknown))
    assert (A, "a.py:3") in program_parts(found)[0].lines
