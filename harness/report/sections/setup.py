"""How the runs were set up: conventions, recipe and environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.document import (
    Block,
    Column,
    Folded,
    Section,
    Sentence,
    Table,
)
from harness.report.sections.source import Source
from harness.report.text.values import shown
from harness.results.report import Report
from harness.spec.recipe import Recipe

__all__ = ["section"]


def section(source: Source) -> Section | None:
    """The environment; of cases also the recipe, and the departures of loops from it."""
    report = source.report
    blocks: list[Block] = []
    for case, fields in report.recipes.items():  # the runs of commands have none
        blocks.append(Sentence(_recipe_sentence(case, fields)))
    conventions = _conventions(report)
    if conventions is not None:
        blocks.append(conventions)
    for case, fields in report.recipes.items():
        name = f"Recipe of {case}"
        blocks.append(Folded(name, (_named_values(name, fields),)))
    if report.environment:
        environment = _named_values("Environment", report.environment)
        blocks.append(Folded("Versions, machine and flags", (environment,)))
    return Section("setup", "Setup", tuple(blocks)) if blocks else None


def _conventions(report: Report) -> Table | None:
    """Each recipe field that a loop changed: its case, its value, and the value of each loop."""
    departures: dict[tuple[str, str], dict[str, str]] = {}
    for run in report.runs:
        for name, value in run.overrides.items():
            departures.setdefault((run.case, name), {})[run.loop] = shown(value)
    if not departures:
        return None
    loops = list(dict.fromkeys(run.loop for run in report.runs))
    columns = ("case", "field", "recipe", *loops)
    rows = tuple(
        (
            case,
            name,
            shown(report.recipes.get(case, {}).get(name)),
            *(values.get(loop, "") for loop in loops),
        )
        for (case, name), values in sorted(departures.items())
    )
    caption = "Recipe fields that a loop, or a resumed run of it, changed."
    typed = tuple(Column(heading, "text") for heading in columns)
    return Table("Conventions", typed, rows, caption, heading_column=1)


def _recipe_sentence(case: str, fields: Mapping[str, Any]) -> str:
    """The fields and options of a case that differ from the default recipe."""
    default = Recipe().model_dump(mode="json")
    departures = [
        f"{name} {shown(value)}"
        for name, value in fields.items()
        if (value != default[name] if name in default else value not in (None, 0))
    ]
    exceptions = f", except {'; '.join(departures)}" if departures else ""
    return f"{case}: the default recipe{exceptions}."


def _named_values(name: str, values: Mapping[str, Any]) -> Table:
    columns = Column("field", "text"), Column("value", "prose")
    return Table(name, columns, tuple((key, shown(value)) for key, value in values.items()))
