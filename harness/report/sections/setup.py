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
    Subsection,
    Table,
)
from harness.report.sections.source import Source
from harness.report.text.values import shown
from harness.results.report import Report
from harness.spec.recipe import Recipe

__all__ = ["section"]


def section(source: Source) -> Section:
    """Where loops depart from the recipe, the recipe of each case, and the machine."""
    report = source.report
    recipes: list[Block] = []
    for case, fields in report.recipes.items():
        recipes.append(Sentence(_recipe_sentence(case, fields)))
        name = f"Recipe of {case}"
        recipes.append(Folded(name, (_named_values(name, fields),)))
    environment = _named_values("Environment", report.environment)
    blocks: tuple[Block, ...] = (
        Subsection("Conventions", (_conventions(report),)),
        Subsection("Recipe", tuple(recipes) or (Sentence("None was recorded."),)),
        Subsection("Environment", (Folded("Versions, machine, flags", (environment,)),)),
    )
    return Section("setup", "Set-up", blocks)


def _conventions(report: Report) -> Block:
    """Case, recipe field, and the value of each loop that departs there from the recipe."""
    departures: dict[tuple[str, str], dict[str, str]] = {}
    for run in report.runs:
        for name, value in run.overrides.items():
            departures.setdefault((run.case, name), {})[run.loop] = shown(value)
    if not departures:
        return Sentence("Matched: every loop followed the recipe to the letter.")
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
    caption = "Fields of the recipe that a loop, or a resumed run of it, set otherwise."
    typed = tuple(Column(heading, "text") for heading in columns)
    return Table("Conventions", typed, rows, caption, heading_column=1)


def _recipe_sentence(case: str, fields: Mapping[str, Any]) -> str:
    """The fields and options of a case that are not as the course has them."""
    course = Recipe().model_dump(mode="json")
    departures = [
        f"{name} {shown(value)}"
        for name, value in fields.items()
        if (value != course[name] if name in course else value not in (None, 0))
    ]
    but = f", but for {'; '.join(departures)}" if departures else ""
    return f"{case}: the course's recipe{but}."


def _named_values(name: str, values: Mapping[str, Any]) -> Table:
    columns = Column("field", "text"), Column("value", "prose")
    return Table(name, columns, tuple((key, shown(value)) for key, value in values.items()))
