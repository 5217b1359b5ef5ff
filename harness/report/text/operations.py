"""The first operation in which two runs differ: a sentence, and the line of code in each run."""

from __future__ import annotations

from harness.report.text.values import distinct, module_name
from harness.results.comparison import Comparison
from harness.results.localization import Draws, Operation, OperationDifference

__all__ = ["code_lines", "draw_lines", "draw_sentence", "operation_sentence"]

_WHEN = {
    "before": "before the forward pass",
    "forward": "in the forward pass",
    "backward": "in the backward pass",
    "update": "in the update",
    "after": "after the update",
}


def operation_sentence(pair: Comparison) -> str:
    """What the first operation that differs is; empty if no pair of operations was compared."""
    found = pair.localization
    if found is None or not any(found.operations):
        return ""
    if found.operation is None:
        return f"Step {found.step}: {found.operation_note}."
    where = f"Step {found.step}"
    if found.operation.rank is not None:
        where += f", rank {found.operation.rank}"
    shown = found.operation.reference or found.operation.candidate
    sides = (found.operation.reference, found.operation.candidate)
    phases = {one.phase for one in sides if one is not None}
    elsewhere = found.operation.kind == "inputs" or len(phases) > 1
    if shown is not None and not elsewhere:
        where += f", {_WHEN[shown.phase]}"
    names = (pair.reference, pair.candidate)
    return f"{where}: {_what(found.operation, names)}."


def code_lines(pair: Comparison) -> list[tuple[str, str]]:
    """The name of each run, and its line of code at the first difference."""
    found = pair.localization
    if found is None or found.operation is None:
        return []
    return _lines_of(found.operation, pair)


def draw_sentence(pair: Comparison) -> str:
    """What the first draw that differs is; empty if none is of interest."""
    found = pair.localization
    if found is None or found.draw is None:
        return ""
    names = (pair.reference, pair.candidate)
    return f"Step {found.step}: {_drawn_apart(found.draw, names)}."


def _drawn_apart(found: OperationDifference, names: tuple[str, str]) -> str:
    one, two = found.reference, found.candidate
    if one is None or two is None:
        only, shown = (names[0], one) if two is None else (names[1], two)
        return f"{only} draws numbers that the other does not" + (
            f", with {_named(shown)}" if shown else ""
        )
    if found.kind == "others":
        return (
            f"the first numbers that one run alone draws come from {_named(one)} in {names[0]} "
            f"and from {_named(two)} in {names[1]}"
        )
    if found.kind == "arguments":
        return f"{_named(one)} draws other numbers: {_argument_values(found, names)}"
    return _what(found, names)


def draw_lines(pair: Comparison) -> list[tuple[str, str]]:
    """The name of each run, and its line of code at the first draw that differs."""
    found = pair.localization
    return [] if found is None or found.draw is None else _lines_of(found.draw, pair)


def _lines_of(operation: OperationDifference, pair: Comparison) -> list[tuple[str, str]]:
    sides = ((pair.reference, operation.reference), (pair.candidate, operation.candidate))
    if operation.kind == "more_draws":
        drawn = zip((pair.reference, pair.candidate), operation.draws, strict=True)
        return [(name, "; ".join(map(_drawn, draws)) or "draws nothing") for name, draws in drawn]
    shown = [(name, one or operation.counterpart) for name, one in sides]
    return [(name, _line(one)) for name, one in shown if one is not None]


def _what(found: OperationDifference, names: tuple[str, str]) -> str:
    one, two = found.reference, found.candidate
    shown = one or two
    name = "" if shown is None else _named(shown)
    only = names[1] if one is None else names[0]
    if found.kind == "arguments":
        return f"{name} has other arguments for the same values: {_argument_values(found, names)}"
    if found.kind == "inputs":
        return (
            "the same operation reads other values in the two runs; each run made its own where "
            "the lines of code show"
        )
    if found.kind == "output":
        return f"{name} makes another output from equal inputs{_norms(one, two)}"
    if found.kind == "random":
        return f"{name} draws other numbers: the random generator differs before it"
    if found.kind == "more_draws":
        return "the two runs do not draw the same random numbers"
    if found.kind == "enters":
        which = f"{only} alone has" if one is None or two is None else "each run alone has"
        made = "was made before the recorded operations, or in Python"
        if found.rank is not None:
            made += ", or by another process"
        if one is not None and two is not None and _named(one) != _named(two):
            name = f"{_named(one)} reads it in {names[0]}, {_named(two)} in {names[1]}"
        else:
            name = f"{name} reads it"
        return f"the first value that {which} {made}; {name}"
    if found.kind == "one_side":
        # Not "computes": the other run may compute the operation, too, of other values.
        made = f"{name} makes a value that {only} alone has, from values that both runs have"
        if found.counterpart is None:
            return made
        other = names[0] if one is None else names[1]
        if found.counterpart_reads == "none":
            return f"{made}; {other} made the last of these with {_named(found.counterpart)}"
        share = "" if found.counterpart_reads == "all" else "some of "
        return f"{made}; {other} reads {share}these in {_named(found.counterpart)}"
    assert one is not None
    assert two is not None
    return (
        "from values that both runs have, the two compute other operations: "
        f"{_named(one)} in {names[0]}, {_named(two)} in {names[1]}"
    )


def _argument_values(found: OperationDifference, names: tuple[str, str]) -> str:
    return "; ".join(
        f"{argument} = {left} in {names[0]}, {right} in {names[1]}"
        for argument, left, right in found.arguments
    )


def _named(operation: Operation) -> str:
    name = operation.operation.removeprefix("aten.")
    return f"{name} of {module_name(operation.module)}" if operation.module else name


def _norms(one: Operation | None, two: Operation | None) -> str:
    if one is None or two is None or one.norm is None or two.norm is None:
        return ""
    reference, candidate = distinct(one.norm, two.norm)
    return f", norm {reference} against {candidate}"


def _line(operation: Operation) -> str:
    text = "  ".join(filter(None, (operation.place, operation.source)))
    if not text:
        text = "no line of your code is known"
    elif operation.phase == "backward" and ".backward(" not in operation.source:
        text = f"backward pass of {text}"
    return f"{text}, in {operation.library}" if operation.library else text


def _drawn(draws: Draws) -> str:
    count = "1 operation" if draws.operations == 1 else f"{draws.operations} operations"
    call = "  ".join(filter(None, (draws.place or "outside your code", draws.source)))
    return f"{call}: {count}"
