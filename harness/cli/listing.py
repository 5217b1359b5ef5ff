"""`harness list`: cases, loops, suites, devices and recipe fields, in short or with details."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.cli.shared import output_console
from harness.execution.devices import asking_for_devices
from harness.report.text.values import shown
from harness.spec import registry
from harness.spec.aliases import ALIASES
from harness.spec.recipe import DEVICES, Recipe
from harness.spec.suites import SUITES
from harness.units import counted

__all__ = ["list_command"]


def list_command(
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Also the options of cases, native conventions, and each field of the recipe.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List cases, loops, suites, devices and recipe fields, one line each; more with -v.

    Example: harness list -v
    """
    devices_here = asking_for_devices()
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
            "devices_here": devices_here(),
            "recipe": {
                name: {"default": field.default, "description": field.description}
                for name, field in Recipe.model_fields.items()
            },
            "aliases": ALIASES,
        }
        Console(soft_wrap=True).print_json(json.dumps(content))
        return
    console = output_console()
    if not verbose:
        _print_short(console)
        console.print(Text(_devices(devices_here())))
        return
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
    console.print(Text(_devices(devices_here())))


def _devices(here: dict[str, int] | None) -> str:
    """The devices that --device takes, and those that this machine has."""
    known = f"Devices, for --device: {', '.join(DEVICES)}."
    if here is None:
        return f"{known} Which are here is not known: torch cannot be asked."
    found = [name if count == 1 else f"{name} ({count})" for name, count in here.items()]
    return f"{known} Here: {', '.join(found)}."


def _print_short(console: Console) -> None:
    """A line for each case, loop and suite; the names of the fields."""
    cases, workloads, loops = registry.cases(), registry.workloads(), registry.loops()
    suites = {name: counted(len(make()), "case") for name, make in SUITES.items()}
    groups = {
        "Cases": {name: workloads[case.workload].summary for name, case in cases.items()},
        "Loops": {name: entry.summary for name, entry in loops.items()},
        "Suites, for --suite": suites,
    }
    width = 2 + max(len(name) for names in groups.values() for name in names)
    for title, lines in groups.items():
        console.print(Text(title, style="bold"))
        for name, summary in lines.items():
            text = Text(f"  {name:<{width}}{summary}")
            text.truncate(console.width, overflow="ellipsis")
            console.print(text)
    console.print(Text("Fields of the recipe, for --set", style="bold"))
    console.print(Padding(Text(", ".join(Recipe.model_fields)), (0, 0, 0, 2), expand=False))
    console.print(Text("harness list -v describes each of them."))
