"""Where the settings were set that a line of code reads.

A line that differs often reads a name: `AdamW(parameters, lr=RATE)`. The statements that ran are
searched for the ones that set such a name to a number, a text, or an expression of these: in the
same function, else at the calls of this function if it is a parameter, else in the module. Several
statements may set a name, and calls are matched by the name of the function alone. So these are
statements that may have set what the line reads. A name with many of them is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from harness.results.localization import Code, Localization, Operation
from harness.results.record import RunRecord
from harness.units import on_one_line

__all__ = ["Read", "compare_definitions", "definitions_of"]

_MOST = 3
"""Statements that set one name; with more of them they say little."""
_HOPS = 3
_FEW = 6
"""Statements of each run that are kept, those that are nearest to the difference."""
_PLAIN_CALLS = frozenset({"abs", "float", "int", "len", "max", "min", "round", "sum"})
_PLAIN_NODES = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare),
    *(ast.IfExp, ast.Tuple, ast.List, ast.Dict, ast.Call, ast.expr_context),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)


class Read(NamedTuple):
    """A line of code, and which of its settings is of interest."""

    code: Code
    setting: str = ""
    """The name of an argument of a call; empty: everything that the line reads."""
    computed: bool = False
    """Whether a value that is computed is of interest, too, and not only settings."""


class _Statement(NamedTuple):
    """A statement that ran."""

    code: Code
    file: str
    line: int
    function: str
    """Qualified; empty in a module."""
    parameters: tuple[str, ...]
    tree: ast.stmt


def compare_definitions(
    reference: RunRecord, candidate: RunRecord, found: Localization
) -> tuple[tuple[Code, ...], tuple[Code, ...]]:
    """What may set the settings of the lines at which two replays differ, without what both have.

    Raises `RecordError` if a trace is damaged.
    """
    left = definitions_of(reference, _reads(found, "reference"))
    right = definitions_of(candidate, _reads(found, "candidate"))
    both = {one.source for one in left} & {one.source for one in right}
    kept = [[one for one in side if one.source not in both] for side in (left, right)]
    return tuple(kept[0][:_FEW]), tuple(kept[1][:_FEW])


def _reads(found: Localization, side: str) -> list[Read]:
    """The lines of one run at which the two differ."""
    reads = []
    for difference in filter(None, (found.operation, found.draw)):
        shown: Operation | None = getattr(difference, side) or difference.counterpart
        if shown is not None and shown.place and not shown.library:
            code = Code(place=shown.place, source=shown.source)
            early = difference.kind == "enters" and shown.phase in ("before", "forward")
            reads.append(Read(code, computed=early))
    for one in found.state:
        set_at: Code | None = getattr(one, side)
        if set_at is not None and one.kind in ("attribute", "setting"):
            reads.append(Read(set_at, one.what))
    return reads


def definitions_of(record: RunRecord, reads: Sequence[Read]) -> tuple[Code, ...]:
    """The statements of a replay that may have set what these lines read, each once.

    Raises `RecordError` if a trace is damaged.
    """
    statements = _ran(record) if reads and "statements" in record.header.traces else []
    found: dict[str, Code] = {}
    for read in reads:
        file, _, number = read.code.place.rpartition(":")
        line = int(number) if number.isdigit() else 0
        here = [one for one in statements if one.file == file and one.line <= line]
        tree = _parsed(read.code.source)
        if not here or tree is None:
            continue
        scope = max(here, key=lambda one: one.line)
        for name in _names(_setting_of(tree, read.setting)):
            for code in _set_by(name, scope, statements, _HOPS, read.computed):
                if code.place != read.code.place:
                    found.setdefault(code.place, code)
    return tuple(found.values())


def _ran(record: RunRecord) -> list[_Statement]:
    rows: list[dict[str, Any]] = record.trace("statements").to_pylist()
    found = []
    for row in rows:
        tree = _parsed(row["source"])
        if row["rank"] or not isinstance(tree, ast.stmt):
            continue
        file, _, line = row["place"].rpartition(":")
        code = Code(place=row["place"], source=on_one_line(row["source"]))
        scope = row["function"] or "", tuple(row["parameters"] or ())
        found.append(_Statement(code, file, int(line), *scope, tree))
    return found


def _parsed(source: str) -> ast.stmt | None:
    """The first statement of a text; None if it is none, as the head of a loop is not."""
    try:
        return next(iter(ast.parse(source).body), None)
    except (SyntaxError, ValueError):
        return None


def _setting_of(tree: ast.AST, setting: str) -> ast.AST:
    """The value of an argument of that name; everything, if no call has it."""
    keywords = (node for node in ast.walk(tree) if isinstance(node, ast.keyword))
    return next((one.value for one in keywords if setting and one.arg == setting), tree)


def _names(tree: ast.AST) -> Iterator[str]:
    """The names that an expression reads, and the attributes of `self` as `self.NAME`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id != "self":
            yield node.id
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == f"self.{node.attr}":
            yield f"self.{node.attr}"


def _set_by(
    name: str,
    scope: _Statement,
    statements: Sequence[_Statement],
    hops: int,
    computed: bool = False,
) -> Iterator[Code]:
    """The statements that set a name, as it is read in a scope, and what these read in turn."""
    found = _assignments(name, scope, statements)
    plain = all(_is_plain(value) for _, value in found)
    if len(found) > _MOST or not (plain or computed):
        return
    for one, value in found:
        yield one.code
        if hops > 1:
            for read in _names(value):
                yield from _set_by(read, one, statements, hops - 1)


def _assignments(
    name: str, scope: _Statement, statements: Sequence[_Statement]
) -> list[tuple[_Statement, ast.expr]]:
    """The statements that may have set a name, with its value."""
    of_file = [one for one in statements if one.file == scope.file]
    if name.startswith("self."):
        return _assigned(name, of_file)
    local = [one for one in of_file if one.function == scope.function]
    found = _assigned(name, local)
    if not found and name in scope.parameters:
        found = [(one, value) for one in statements if (value := _passed(name, one.tree, scope))]
    elif not found:
        found = _assigned(name, [one for one in of_file if not one.function])
    return found


def _assigned(name: str, statements: Sequence[_Statement]) -> list[tuple[_Statement, ast.expr]]:
    """The statements that set a name; none if one changes it, since then no line alone sets it."""
    found = []
    for one in statements:
        if isinstance(one.tree, ast.AugAssign) and ast.unparse(one.tree.target) == name:
            return []
        if isinstance(one.tree, ast.Assign):
            targets, value = one.tree.targets, one.tree.value
        elif isinstance(one.tree, ast.AnnAssign) and one.tree.value is not None:
            targets, value = [one.tree.target], one.tree.value
        else:
            continue
        if any(ast.unparse(target) == name for target in targets):
            found.append((one, value))
    return found


def _passed(name: str, tree: ast.AST, scope: _Statement) -> ast.expr | None:
    """The value that a statement passes to a parameter of the scope's function; None: none."""
    function = scope.function.removesuffix(".__init__").rpartition(".")[2]
    names = [one for one in scope.parameters if one != "self"]
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        words = [ast.unparse(one).rpartition(".")[2] for one in (call.func, *call.args)]
        if function not in words:  # as itself, or handed over, as to `functools.partial`
            continue
        place = words.index(function)
        values = dict(zip(names, call.args[place:], strict=False))
        values |= {each.arg: each.value for each in call.keywords if each.arg}
        if name in values:
            return values[name]
    return None


def _is_plain(value: ast.expr) -> bool:
    """Whether a value is made of numbers, texts and names alone."""
    return all(isinstance(node, _PLAIN_NODES) for node in ast.walk(value)) and all(
        _is_plain_call(node) for node in ast.walk(value) if isinstance(node, ast.Call)
    )


def _is_plain_call(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return name in _PLAIN_CALLS or name.startswith("math.")
