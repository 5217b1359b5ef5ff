"""The first operation that differs is one sentence, with the line of code of each run below."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from rich.console import Console

from harness.report.formats.terminal import print_report
from harness.report.render import render
from harness.report.text.operations import code_lines, operation_sentence
from harness.results.comparison import Comparison
from harness.results.localization import (
    Draws,
    Localization,
    Operation,
    OperationDifference,
    OperationKind,
)
from tests.support.small_report import AWKWARD, DIFFERENT, small_report

REFERENCE, CANDIDATE = DIFFERENT.reference, DIFFERENT.candidate


def operation(name: str = "aten.mul.Tensor", line: int = 7, **more: Any) -> Operation:
    """One in the update, outside of every module."""
    place = {"place": f"loop.py:{line}", "source": f"call({line})"}
    return Operation.model_validate({"operation": name, "phase": "update", **place, **more})


def pair(
    kind: OperationKind, one: Operation | None, two: Operation | None, **more: Any
) -> Comparison:
    """A pair whose first difference is that, at step 3."""
    found = OperationDifference(kind=kind, reference=one, candidate=two, **more)
    localization = Localization(step=3, operation=found, operations=(90, 91))
    return DIFFERENT.model_copy(update={"localization": localization})


ONE, TWO = operation(), operation(line=9)


def with_counterpart(reads: str) -> Comparison:
    """An operation of the reference alone, and what the candidate does with its values."""
    return pair("one_side", ONE, None, counterpart=TWO, counterpart_reads=reads)


ALONE = "was made before the recorded operations, or in Python; mul.Tensor reads it."
SENTENCES: list[tuple[Comparison, str]] = [
    (
        pair("output", operation("aten.native_batch_norm", module="1"), TWO),
        "Step 3, in the update: native_batch_norm of module 1 makes another output from equal "
        "inputs.",
    ),
    (
        pair("arguments", ONE, TWO, arguments=(("other", "1.0", "0.5"), ("alpha", "none", "2"))),
        "Step 3, in the update: mul.Tensor has other arguments for the same values: "
        f"other = 1.0 in {REFERENCE}, 0.5 in {CANDIDATE}; "
        f"alpha = none in {REFERENCE}, 2 in {CANDIDATE}.",
    ),
    (
        pair("inputs", operation("aten.ge"), operation("aten.lt")),
        "Step 3: the same operation reads other values in the two runs; each run made its own "
        "where the lines of code show.",
    ),
    (
        pair("output", operation(norm=12.31, module="head"), operation(norm=12.3, module="head")),
        "Step 3, in the update: mul.Tensor of head makes another output from equal inputs, "
        "norm 12.31 against 12.3.",
    ),
    (
        pair("output", operation(norm=2.0), operation()),
        "Step 3, in the update: mul.Tensor makes another output from equal inputs.",
    ),
    (
        pair("random", *[operation("aten.bernoulli_.float", phase="forward")] * 2),
        "Step 3, in the forward pass: bernoulli_.float draws other numbers: the random generator "
        "differs before it.",
    ),
    (
        pair(
            "others",
            operation("aten.relu", phase="backward"),
            operation("aten.gelu", phase="backward"),
        ),
        "Step 3, in the backward pass: from values that both runs have, the two compute other "
        "operations: "
        f"relu in {REFERENCE}, gelu in {CANDIDATE}.",
    ),
    (
        pair("one_side", None, operation("aten.neg_", phase="before")),
        f"Step 3, before the forward pass: neg_ makes a value that {CANDIDATE} alone has, from "
        "values that both runs have.",
    ),
    (
        pair("one_side", operation("aten.neg_", phase="after"), None),
        f"Step 3, after the update: neg_ makes a value that {REFERENCE} alone has, from values "
        "that both runs have.",
    ),
    (
        with_counterpart("all"),
        f"Step 3, in the update: mul.Tensor makes a value that {REFERENCE} alone has, from values "
        f"that both runs have; {CANDIDATE} reads these in mul.Tensor.",
    ),
    (
        with_counterpart("some"),
        f"Step 3, in the update: mul.Tensor makes a value that {REFERENCE} alone has, from values "
        f"that both runs have; {CANDIDATE} reads some of these in mul.Tensor.",
    ),
    (
        with_counterpart("none"),
        f"Step 3, in the update: mul.Tensor makes a value that {REFERENCE} alone has, from values "
        f"that both runs have; {CANDIDATE} made the last of these with mul.Tensor.",
    ),
    (
        pair("more_draws", None, None),
        "Step 3: the two runs do not draw the same random numbers.",
    ),
    (
        pair("enters", None, TWO),
        f"Step 3, in the update: the first value that {CANDIDATE} alone has {ALONE}",
    ),
    (
        pair("enters", ONE, None),
        f"Step 3, in the update: the first value that {REFERENCE} alone has {ALONE}",
    ),
    (
        pair("enters", ONE, TWO),
        f"Step 3, in the update: the first value that each run alone has {ALONE}",
    ),
    (
        pair("enters", operation("aten.mm", phase="forward"), TWO),
        "Step 3: the first value that each run alone has was made before the recorded operations, "
        f"or in Python; mm reads it in {REFERENCE}, mul.Tensor in {CANDIDATE}.",
    ),
]


@pytest.mark.parametrize(("comparison", "expected"), SENTENCES)
def test_a_difference_is_described_in_a_sentence(comparison: Comparison, expected: str) -> None:
    """With each run's own name beside what is its own."""
    assert expected == operation_sentence(comparison)


def test_every_kind_has_a_sentence() -> None:
    """The list above leaves none out."""
    found = [each.localization and each.localization.operation for each, _ in SENTENCES]
    assert set(get_args(OperationKind)) == {each.kind for each in found if each}


def test_the_rank_is_named() -> None:
    """Of several processes that train together."""
    sentence = operation_sentence(pair("enters", ONE, TWO, rank=1))
    assert sentence.startswith("Step 3, rank 1, in the update: ")
    assert "in Python, or by another process" in sentence


def test_without_an_operation_the_reason_is_given() -> None:
    """If operations were compared; otherwise there is no sentence."""
    none = DIFFERENT.model_copy(update={"localization": None})
    unseen = DIFFERENT.model_copy(update={"localization": Localization(note="not localized")})
    found = Localization(step=3, operations=(4, 5), operation_note="no operation made it")
    equal = DIFFERENT.model_copy(update={"localization": found})
    assert ["", "", "Step 3: no operation made it."] == list(
        map(operation_sentence, (none, unseen, equal))
    )
    assert [[], [], []] == list(map(code_lines, (none, unseen, equal)))


def test_each_run_has_its_own_line() -> None:
    """The reference's first. A run without an operation has no line."""
    both = [(REFERENCE, "loop.py:7  call(7)"), (CANDIDATE, "loop.py:9  call(9)")]
    assert both == code_lines(pair("arguments", ONE, TWO))
    assert both[1:] == code_lines(pair("one_side", None, TWO))
    assert both[:1] == code_lines(pair("one_side", ONE, None))
    assert both == code_lines(with_counterpart("some"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"phase": "backward"}, "backward pass of loop.py:7  call(7)"),
        ({"library": "lib/trainer.py:3"}, "loop.py:7  call(7), in lib/trainer.py:3"),
        ({"source": ""}, "loop.py:7"),
        ({"place": "", "source": ""}, "no line of your code is known"),
        (
            {"place": "", "source": "", "library": "lib/trainer.py:3"},
            "no line of your code is known, in lib/trainer.py:3",
        ),
    ],
)
def test_a_line_says_what_is_known(changes: dict[str, Any], expected: str) -> None:
    """The pass, the line of a library, or that no line is known."""
    assert [(REFERENCE, expected)] == code_lines(pair("one_side", operation(**changes), None))


def test_draws_are_counted_by_line() -> None:
    """Of a run that draws nothing, that is said."""
    drawn = (
        Draws(place="loop.py:7", source="torch.rand(2)", operations=1),
        Draws(place="", source="", operations=2),
    )
    assert [
        (REFERENCE, "draws nothing"),
        (CANDIDATE, "loop.py:7  torch.rand(2): 1 operation; outside your code: 2 operations"),
    ] == code_lines(pair("more_draws", None, None, draws=((), drawn)))


@pytest.mark.parametrize("page", ["report.md", "report.html", "terminal"])
def test_every_printer_shows_the_sentence_and_both_lines(page: str) -> None:
    """Without a localization it shows none."""
    shown = []
    for found in (pair("arguments", ONE, TWO, arguments=(("other", "1.0", "0.5"),)), DIFFERENT):
        report = small_report(comparisons=(found,))
        if page == "terminal":
            console = Console(width=400)
            with console.capture() as captured:
                print_report(report, console)
            shown.append(captured.get())
        else:
            shown.append(render(report, page))
    wanted = ("mul.Tensor has other arguments", "call(7)", "call(9)")
    assert [[True] * 3, [False] * 3] == [[each in text for each in wanted] for text in shown]


def test_code_is_escaped_on_a_page() -> None:
    """Markup in a line of code, a module's name or a path stays text."""
    awkward = operation(source=AWKWARD, place=f"{AWKWARD}:3", module=AWKWARD)
    page = render(small_report(comparisons=(pair("others", awkward, awkward),)), "report.html")
    assert "<script>alert(" not in page
    assert "&lt;script&gt;alert(" in page
