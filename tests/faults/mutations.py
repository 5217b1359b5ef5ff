"""Planted faults as mutations: which lines of which loop become what.

The files `tests/faults/*.diff` hold them. Each describes the mutations of the loop of its name:

    name: what is wrong, in one line
      a line that stays
    - a line that goes
    + a line that comes
    @@
    - the first line of another place

Indentation counts from the first line of a place. Comments at the end of a line do not count. What
is replaced must occur in the loop exactly once, so a loop that has changed is reported.
"""

from __future__ import annotations

import ast
import atexit
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.spec import registry

__all__ = ["Mutation", "mutate", "mutations", "path_of", "read_mutations", "source_of"]

_HERE = Path(__file__).parent
_SOUND = _HERE / "sound_loops"
_PACKAGE = "harness.training.loops"
# Modules that a mutation may use, whatever its loop imports.
_IMPORTS = "import contextlib, copy, dataclasses, itertools, math, os, random, signal, time\n"


@dataclass(frozen=True)
class Mutation:
    """One loop with something changed."""

    name: str
    loop: str
    """The loop it changes: one of the harness, or of `sound_loops`."""
    summary: str
    places: tuple[tuple[str, ...], ...]
    """For each place its lines, each after two characters: `- `, `+ `, or two blanks."""


@cache
def mutations() -> dict[str, Mutation]:
    """All mutations, by name."""
    found: dict[str, Mutation] = {}
    for file in sorted(_HERE.glob("*.diff")):
        read = read_mutations(file)
        if found.keys() & read.keys():
            raise ValueError(f"{file.name}: a name stands in two files: {found.keys() & read}")
        found |= read
    return found


def read_mutations(file: Path) -> dict[str, Mutation]:
    """The mutations in a file, by name."""
    found: dict[str, Mutation] = {}
    for block in file.read_text(encoding="utf-8").strip().split("\n\n"):
        heading, *lines = block.splitlines()
        name, _, summary = heading.partition(": ")
        places = tuple(tuple(place.splitlines()) for place in "\n".join(lines).split("\n@@\n"))
        if name in found or not summary or not lines:
            raise ValueError(f"{file.name}: a name of its own, a summary and lines: {heading}")
        found[name] = Mutation(name, file.stem, summary, places)
    return found


def path_of(loop: str) -> str:
    """The loop as the harness takes it: the path of a mutation or a sound loop, or the name."""
    sound = _SOUND / f"{loop}.py"
    if sound.is_file():
        return str(sound)
    if loop not in mutations():
        return loop
    path = _folder() / f"{loop}.py"
    if not path.is_file():
        path.write_text(mutate(mutations()[loop]), encoding="utf-8")
    return str(path)


@cache
def mutate(mutation: Mutation) -> str:
    """The text of the changed loop, which is valid Python.

    Raises `ValueError` if a place does not occur exactly once, or if nothing changes.
    """
    lines = source_of(mutation.loop).splitlines()
    for place in mutation.places:
        lines = _replaced(lines, place, mutation.name)
    body = "\n".join(lines)
    if ast.dump(ast.parse(body)) == _meaning_of(mutation.loop):
        raise ValueError(f"{mutation.name} changes nothing in {mutation.loop}")
    heading = f'"""The loop {mutation.loop} with one change: {mutation.summary}."""'
    return f"{heading}\n\n{_IMPORTS}\n{body}\n"


@cache
def _meaning_of(loop: str) -> str:
    """The loop without its comments and layout."""
    return ast.dump(ast.parse(source_of(loop)))


@cache
def source_of(loop: str) -> str:
    """A loop in one text, without its docstring: the private modules beside it come first."""
    sound = _SOUND / f"{loop}.py"
    return _inlined(sound if sound.is_file() else registry.loop(loop).path, set())


def _inlined(path: Path, seen: set[Path]) -> str:
    text = path.read_text(encoding="utf-8")
    lines: list[str | None] = list(text.splitlines())
    before = []
    for node in ast.parse(text).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        private = _private_module(node)
        if private is not None and private not in seen:
            seen.add(private)
            before.append(_inlined(private, seen))
        if is_docstring or private is not None or _is_future(node):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = None
    return "\n".join([*before, *(line for line in lines if line is not None)])


def _private_module(node: ast.stmt) -> Path | None:
    """The file of a private module of the loops' package from which `node` imports."""
    module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
    if not module.startswith(f"{_PACKAGE}._"):
        return None
    parts = module.removeprefix(f"{_PACKAGE}.").split(".")
    return registry.loop("plain").path.parent.joinpath(*parts).with_suffix(".py")


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _replaced(lines: list[str], place: Sequence[str], name: str) -> list[str]:
    old = [line[2:] for line in place if line[:2] in ("- ", "  ")]
    new = [line[2:] for line in place if line[:2] in ("+ ", "  ")]
    if len(old) + len(new) < len(place) or not old:
        raise ValueError(f"{name}: lines begin with '- ', '+ ' or two blanks: {place}")
    found = [
        (number, indent)
        for number in range(len(lines) - len(old) + 1)
        if (indent := _indent(lines[number]) - _indent(old[0])) >= 0
        and all(
            _code(line) == " " * indent + _code(wanted)
            for line, wanted in zip(lines[number:], old, strict=False)
        )
    ]
    if len(found) != 1:
        raise ValueError(f"{name}: found {len(found)} times instead of once: {old}")
    number, indent = found[0]
    return [
        *lines[:number],
        *(" " * indent + line for line in new),
        *lines[number + len(old) :],
    ]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _code(line: str) -> str:
    """The line without a comment at its end."""
    return re.sub(r"  #.*", "", line).rstrip()


@cache
def _folder() -> Path:
    """Where this process writes mutated loops; it is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="planted-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
