"""`harness list`: what there is to run."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.cli.shared import output_console
from harness.report.text.values import shown
from harness.spec import registry as catalogue
from harness.spec.recipe import DEVICES, Recipe

__all__ = ["list_command"]


def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Cases, loops with their native conventions, workloads, devices and recipe fields."""
    loops, workloads, cases = catalogue.loops(), catalogue.workloads(), catalogue.cases()
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
        }
        Console(soft_wrap=True).print_json(json.dumps(content))
        return
    console = output_console()
    first = Table(
        "case", "workload", "options", "what", title="Cases and workloads", title_justify="left"
    )
    for name, case in cases.items():
        entry = workloads[case.workload]
        first.add_row(name, case.workload, escape(shown(case.options)), escape(entry.summary))
    second = Table("loop", "what", title="Loops", title_justify="left")
    for entry_of_loop in loops.values():
        second.add_row(entry_of_loop.name, escape(entry_of_loop.summary))
    third = Table(
        "field",
        "matched",
        *loops,
        title="Conventions, where a loop's native ones depart",
        title_justify="left",
    )
    for name, field in Recipe.model_fields.items():
        departs = [shown(e.native[name]) if name in e.native else "" for e in loops.values()]
        if any(departs):
            third.add_row(name, escape(shown(field.default)), *map(escape, departs))
    for name, field in Recipe.model_fields.items():
        tables = [e.native_distributed for e in loops.values()]
        departs = [shown(table[name]) if name in table else "" for table in tables]
        if any(departs):
            several = f"{name}, several processes"
            third.add_row(several, escape(shown(field.default)), *map(escape, departs))
    fourth = Table(
        "field", "default", "what", title="Recipe: fields for --set", title_justify="left"
    )
    for name, field in Recipe.model_fields.items():
        fourth.add_row(
            name, escape(shown(field.default)), escape(" ".join((field.description or "").split()))
        )
    for table in (first, second, third, fourth):
        console.print(table)
    console.print(f"Devices: {', '.join(DEVICES)}")
