"""Writes what the documentation takes from the code.

recipe.md and causes.md are made from the fields and the table of causes. A block after the words
"the whole of [`FILE`](PATH)" is made from that file.

python -m docs.generate
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from harness.comparison.causes.table import TABLE
from harness.spec.aliases import ALIASES
from harness.spec.case import Case
from harness.spec.recipe import Recipe
from harness.spec.registry import CASE_KEYS, DEFAULT_WORKLOAD, loops, workloads

__all__ = ["PAGES", "causes_page", "recipe_page", "with_files"]

_WHOLE = re.compile(
    r"(the\s+whole\s+of\s+\[`[^`]+`\]\(([^)]+)\)[^\n]*(?:\n[^\n]+)*\n\n```\w+\n).*?(?=^```$)",
    re.MULTILINE | re.DOTALL,
)

_RECIPE = """\
# The recipe

This page is generated from the fields by `python -m docs.generate`.

A *recipe* holds every convention on which two training loops can differ. `--set FIELD=VALUE`
changes one field for all loops; a [case file](write-a-workload.md#a-case-in-a-file) changes
several. The value `none` stands for "not set". `harness list -v` prints the same tables.
"""
_NATIVE = """\
With `--conventions matched`, the default, every loop follows the recipe. With
`--conventions native`, each loop replaces the fields below by the values that its framework, or the
text of the course, uses. An empty cell means that the loop keeps the value of the recipe.
"""
_OPTIONS = """\
A workload has options of its own. `--set OPTION=VALUE` changes them too.
"""
_ALIASES = """\
A recipe also accepts these names of `transformers.TrainingArguments`. Files hold the name on the
right.
"""
_CASE = """\
A case is a recipe for one workload on one device. These are all keys of a case file
([example](write-a-workload.md#a-case-in-a-file)); each may be left out, which is
what `none` stands for. The tables `[recipe]` and
`[options]` hold the fields of the recipe and the options of the workload, `[arms.NAME]` and
`[overrides.LOOP]` fields of the recipe.
"""


_CAUSES = """\
# The table of causes

This page is generated from the table in `harness/comparison/causes/` by `python -m docs.generate`.

A report names a cause only if its signature holds in the records of both runs, and it prints the
evidence beside the name. If no signature holds, the report says that the cause is unknown. The
*stages* are those in which the cause can be the first divergence. [Diagnosis](diagnose.md) explains
how to read a cause.

Explanations that leave the same records are never named as a fact. The report lists them together,
as "consistent with A, B or C".
"""
_EXCLUDED = """\
## What excludes a cause

A cause is not named if the records show one of these other explanations.
"""


def recipe_page() -> str:
    """Every field of a recipe and of a case, with the options of the workloads."""
    return "\n".join(
        [
            _RECIPE,
            "## Fields of the recipe\n",
            _fields(Recipe),
            "## Names of TrainingArguments\n",
            _ALIASES,
            _table(
                ["TrainingArguments", "field"],
                [[f"`{name}`", f"`{field}`"] for name, field in ALIASES.items()],
            ),
            "## Native conventions\n",
            _NATIVE,
            _native(),
            "## Options of the workloads\n",
            _OPTIONS,
            _options(),
            "## Keys of a case file\n",
            _CASE,
            _case_keys(),
        ]
    )


def causes_page() -> str:
    """Every row of the table of causes, in its order."""
    rows = [
        [f"`{row.id}`", row.title, ", ".join(row.explains), row.remedy, row.reference]
        for row in TABLE
    ]
    excluded = [
        [f"`{row.id}`", other.alternative, other.records]
        for row in TABLE
        for other in row.excluded_by
    ]
    return "\n".join(
        [
            _CAUSES,
            _table(["id", "cause", "stages", "remedy", "more"], rows),
            _EXCLUDED,
            _table(["id", "not named if", "records"], excluded),
        ]
    )


def with_files(page: Path) -> str:
    """The text of a page, in which each block that shows a whole file shows it as it is today."""

    def shown(match: re.Match[str]) -> str:
        return match[1] + (page.parent / match[2]).read_text(encoding="utf-8")

    return _WHOLE.sub(shown, page.read_text(encoding="utf-8"))


PAGES: dict[str, Callable[[], str]] = {"recipe.md": recipe_page, "causes.md": causes_page}
"""By the name of its file: what makes a page."""


def _fields(model: type[BaseModel]) -> str:
    return _table(["field", "values", "default", "meaning"], _rows(model, model.model_fields, {}))


def _case_keys() -> str:
    defaults = {"name": "the name of the file", "workload": _value(DEFAULT_WORKLOAD)}
    return _table(["key", "values", "default", "meaning"], _rows(Case, CASE_KEYS, defaults))


def _rows(
    model: type[BaseModel], names: Iterable[str], defaults: Mapping[str, str]
) -> list[list[str]]:
    """A row for each of these fields. `defaults`: of fields that a model has none of."""
    return [
        [
            f"`{name}`",
            _type(field.annotation),
            _value(field.get_default(call_default_factory=True))
            if not field.is_required()
            else defaults[name],
            field.description or "",
        ]
        for name in names
        for field in [model.model_fields[name]]
    ]


def _native() -> str:
    entries = loops().values()
    rows = []
    for distributed in (False, True):
        habits = [entry.native_distributed if distributed else entry.native for entry in entries]
        for name in Recipe.model_fields:
            if any(name in each for each in habits):
                label = f"`{name}`" + (" with several processes" if distributed else "")
                cells = [_value(each[name]) if name in each else "" for each in habits]
                rows.append([label, _value(Recipe.model_fields[name].default), *cells])
    return _table(["field", "recipe", *(entry.name for entry in entries)], rows)


def _options() -> str:
    rows = [
        [f"`{entry.name}`", f"`{name}`", _value(default)]
        for entry in workloads().values()
        for name, default in entry.options.items()
    ]
    return _table(["workload", "option", "default"], rows)


def _type(annotation: Any) -> str:
    """The values that a field takes, in words."""
    origin = get_origin(annotation)
    members = get_args(annotation)
    if origin is Annotated:
        return _type(members[0])
    if origin in (UnionType, Union):
        return " or ".join(_type(member) for member in members)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in members)
    if origin is tuple:
        return f"{len(members)} numbers"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "table"
    words = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}
    return "`none`" if annotation is NoneType else words[annotation]


def _value(value: Any) -> str:
    if value is None:
        return "`none`"
    if isinstance(value, (dict, BaseModel)):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`" if value != "" else ""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


if __name__ == "__main__":
    folder = Path(__file__).parent
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")
    for page in (folder.parent / "README.md", *folder.glob("*.md")):
        page.write_text(with_files(page), encoding="utf-8")
