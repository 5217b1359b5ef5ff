"""`harness list`: the cases, loops, workloads, devices and recipe fields."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.cli.shared import output_console
from harness.report.text.values import shown
from harness.spec import registry
from harness.spec.aliases import ALIASES
from harness.spec.recipe import DEVICES, Recipe

__all__ = ["list_command"]


def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List cases, loops with their native conventions, workloads, devices and recipe fields.

    Example: harness list --json
    """
    loops, workloads, cases = registry.loops(), registry.workloads(), registry.cases()
    if as_json:
        content = {
            "cases": {name: case.model_dump(mode="json") for name, case in cases.items()},
            "loops": {
                name: {
                    "summary": entry.summary,
                    "native": entry.native,
                    "native_distributed": entry.native_distributed,
                }
                for name, entry in loops.items()
            },
            "workloads": {
                n: {"summary": e.summary, "options": e.options} for n, e in workloads.items()
            },
            "devices": DEVICES,
            "recipe": {
                name: {"default": field.default, "description": field.description}
                for name, field in Recipe.model_fields.items()
            },
            "aliases": ALIASES,
        }
        Console(soft_wrap=True).print_json(json.dumps(content))
        return
    console = output_console()
    cases_table = Table(
        "case",
        "workload",
        "options",
        "description",
        title="Cases and workloads",
        title_justify="left",
    )
    for name, case in cases.items():
        entry = workloads[case.workload]
        cases_table.add_row(name, case.workload, escape(shown(case.options)), escape(entry.summary))
    loops_table = Table("loop", "description", title="Loops", title_justify="left")
    for entry_of_loop in loops.values():
        loops_table.add_row(entry_of_loop.name, escape(entry_of_loop.summary))
    conventions_table = Table(
        "field",
        "matched",
        *loops,
        title="Native conventions that differ from the matched ones",
        title_justify="left",
    )
    for name, field in Recipe.model_fields.items():
        native = [shown(e.native[name]) if name in e.native else "" for e in loops.values()]
        if any(native):
            conventions_table.add_row(name, escape(shown(field.default)), *map(escape, native))
    for name, field in Recipe.model_fields.items():
        tables = [e.native_distributed for e in loops.values()]
        native = [shown(table[name]) if name in table else "" for table in tables]
        if any(native):
            label = f"{name}, several processes"
            conventions_table.add_row(label, escape(shown(field.default)), *map(escape, native))
    fields_table = Table(
        "field", "default", "description", title="Recipe: fields for --set", title_justify="left"
    )
    aliases = {field: alias for alias, field in ALIASES.items()}
    for name, field in Recipe.model_fields.items():
        text = " ".join((field.description or "").split())
        if name in aliases:
            text += f" In TrainingArguments: {aliases[name]}."
        fields_table.add_row(name, escape(shown(field.default)), escape(text))
    for table in (cases_table, loops_table, conventions_table, fields_table):
        console.print(table)
    console.print(f"Devices: {', '.join(DEVICES)}")
