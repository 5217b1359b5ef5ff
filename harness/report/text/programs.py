"""What two programs did apart from torch's operations: sentences, each with its lines of code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.report.text.operations import code_lines, draw_lines, draw_sentence
from harness.results.comparison import Comparison
from harness.results.localization import Code, Localization, StateDifference, StatementDifferences

__all__ = ["Part", "program_parts"]

_OF_TRAINER = ("transformers", "accelerate")
"""The libraries in which a Trainer computes."""
_FEW = 5
"""Differences of the state that are shown; the others are counted."""


Places = set[tuple[str, str]]
"""The name of a run, and `FILE:LINE`: two programs may have files of one name."""


class Part(NamedTuple):
    """A sentence, and the name of a run with its line of code for each of them."""

    sentence: str
    lines: tuple[tuple[str, str], ...]


def program_parts(pair: Comparison) -> list[Part]:
    """The first draw that differs, what differs in the state before the step, and the statements
    that one run alone ran.

    What the lines of a fact set is not said again, and a line that is shown with the operation or
    an earlier part is not shown again.
    """
    found = pair.localization
    if found is None or found.step is None:
        return []
    names = (pair.reference, pair.candidate)
    known = {
        place
        for fact in pair.facts
        for place in zip(names, (fact.reference_site, fact.candidate_site), strict=True)
    }
    state = [one for one in found.state if not _set_at(one, names) or _set_at(one, names) - known]
    if found.operation is not None:  # it shows how the initial weights came to differ
        state = [one for one in state if one.kind != "weight"]
    parts = [Part(draw_sentence(pair), tuple(draw_lines(pair)))] if found.draw else []
    parts += [
        Part(f"Step {found.step}: {_state_sentence(one, names)}.", tuple(_state_lines(one, names)))
        for one in state[:_FEW]
    ]
    more = len(state) - _FEW
    if more > 0:
        parts.append(Part(f"{more} more values that were set differently are in report.json.", ()))
    shown = known | _places(code_lines(pair)) | _places_of(parts)
    parts += _arguments_parts(pair, found.arguments, parts, shown)
    shown |= _places_of(parts)
    if found.statements is not None:
        parts += _statement_parts(found.statements, found.step, names, shown)
    if found.statements is None or found.statements.note:  # two programs written differently
        parts += _definition_parts(found, names, shown)
        shown |= _places_of(parts)
        parts += _path_parts(found, names, shown)
    return parts


def _definition_parts(found: Localization, names: tuple[str, str], shown: Places) -> list[Part]:
    """What may have set the settings that the lines above read, if not these lines themselves."""
    lines = _lines_of_both(found.definitions, names, shown)
    return [Part("Statements that may have set what these lines read:", lines)] if lines else []


def _lines_of_both(
    sides: tuple[tuple[Code, ...], tuple[Code, ...]], names: tuple[str, str], shown: Places
) -> tuple[tuple[str, str], ...]:
    """Name of the run and line of each statement that is not shown yet."""
    return tuple(
        (name, _line(code))
        for name, side in zip(names, sides, strict=True)
        for code in side
        if (name, code.place) not in shown
    )


def _path_parts(found: Localization, names: tuple[str, str], shown: Places) -> list[Part]:
    """The lines through which what differs passes, where the statements cannot be compared."""
    lines = _lines_of_both(found.lines, names, shown)
    if not lines:
        return []
    return [
        Part(
            f"Step {found.step}: the first lines that make values which lead to the difference, "
            "and which that run alone has; those not shown above.",
            lines,
        )
    ]


def _arguments_parts(
    pair: Comparison,
    arguments: tuple[Code | None, Code | None],
    parts: Sequence[Part],
    shown: Places,
) -> list[Part]:
    """Where the settings of a Trainer are made, if it is the Trainer that a line leads to."""
    lines = [*code_lines(pair), *(line for part in parts for line in part.lines)]
    found = []
    for name, code in zip((pair.reference, pair.candidate), arguments, strict=True):
        inside = any(
            run == name and any(f", in {library}/" in line for library in _OF_TRAINER)
            for run, line in lines
        )
        if code is not None and inside and (name, code.place) not in shown:
            found.append(Part(f"The settings of the Trainer in {name}:", ((name, _line(code)),)))
    return found


def _set_at(one: StateDifference, names: tuple[str, str]) -> Places:
    sides = zip(names, (one.reference, one.candidate), strict=True)
    return {(name, code.place) for name, code in sides if code is not None}


def _places(lines: Iterable[tuple[str, str]]) -> Places:
    """The places of lines as they are shown."""
    return {
        (name, line.partition("  ")[0].removeprefix("backward pass of ")) for name, line in lines
    }


def _places_of(parts: Iterable[Part]) -> Places:
    return _places(line for part in parts for line in part.lines)


def _state_sentence(one: StateDifference, names: tuple[str, str]) -> str:
    left, right = one.values
    first = one.names[0] if one.names else ""
    more = f" and {one.count - 1} more" if one.count > 1 else ""
    where, module = first + more, _module(first) + more
    both = f"is {left} in {names[0]} and {right} in {names[1]}"
    if one.kind == "seed":
        return f"the seed of torch's global generator {both}"
    if one.kind == "weight":
        return f"the initial values of {where} were last set where the lines show"
    if one.kind == "requires_grad":
        return f"requires_grad of {where} {both}"
    if one.kind == "class":
        if left is None or right is None:
            owner, lacks = (names[1], names[0]) if left is None else names
            return f"{owner} has the module {where}, a {left or right}, and {lacks} has not"
        return f"the class of {module} {both}"
    if one.kind == "made":
        return f"{where} was made {left} in {names[0]} and {right} in {names[1]}"
    if one.kind in ("setting", "argument"):
        return f"{one.what} of {where} {both}"
    return f"{one.what} of {module} {both}"


def _module(name: str) -> str:
    return f"module {name}" if name else "the model"


def _state_lines(one: StateDifference, names: tuple[str, str]) -> list[tuple[str, str]]:
    sides = zip(names, (one.reference, one.candidate), strict=True)
    return [(name, _line(code)) for name, code in sides if code is not None]


def _statement_parts(
    found: StatementDifferences, step: int, names: tuple[str, str], shown: Places
) -> list[Part]:
    sides = [[code for place in found.places for code in place[side]] for side in (0, 1)]
    lines = [
        (name, _line(code))
        for place in found.places
        for name, side in zip(names, place, strict=True)
        for code in side
        if (name, code.place) not in shown
    ]
    if not lines:
        return []
    counts = ", ".join(
        f"{len(alone)} of {total} in {name}"
        for name, alone, total in zip(names, sides, found.statements, strict=True)
        if alone
    )
    rest = "" if len(lines) == sum(map(len, sides)) else "; those not shown above"
    return [
        Part(
            f"Statements that only one of the two ran until step {step} ended: {counts}{rest}.",
            tuple(lines),
        )
    ]


def _line(code: Code) -> str:
    return f"{code.place}  {code.source}".rstrip()
