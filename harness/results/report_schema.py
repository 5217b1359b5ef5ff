"""The JSON Schema of `report.json`, made from the models of a report and their docstrings.

    python -m harness.results.report_schema docs/report.schema.json

writes it. Without a path it is printed. It accepts a report of this version and of earlier versions
with the same schema version: a field that was added or renamed later is not required.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from harness.results.record import write_atomically
from harness.results.report import REPORT_VERSION, Report

__all__ = ["CONTRACT", "report_schema", "schema_text"]

CONTRACT: dict[str, tuple[str, ...]] = {
    "Report": ("schema_version", "verdict", "comparisons", "runs", "environment", "command"),
    "Comparison": (
        "case",
        "reference",
        "candidate",
        "outcome",
        "steps",
        "first_divergence",
        "causes",
        "findings",
    ),
    "Divergence": (
        "step",
        "micro_batch",
        "stage",
        "tensor",
        "reference",
        "candidate",
        "max_ulp",
    ),
    "Cause": ("id", "title", "evidence", "remedy"),
    "Finding": ("metric", "unit", "outcome", "reference", "candidate", "ratio", "interval"),
    "RunSummary": (
        "case",
        "loop",
        "device",
        "world_size",
        "status",
        "steps",
        "final_metrics",
        "record",
    ),
}
"""The fields that every report holds and other programs rely on, by model."""

_NOT_FINITE = "^(NaN|-?Infinity)$"  # applies to strings only


class _Generator(GenerateJsonSchema):
    """Adds the docstrings of fields, and the strings that stand for numbers that are not finite."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        made = super().float_schema(schema)
        return {**made, "type": ["number", "string"], "pattern": _NOT_FINITE}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        model = schema["cls"]
        properties = made["properties"]
        for name, description in _docstrings(model).items():
            properties[name]["description"] = description
        without_default = {
            name for name, field in model.model_fields.items() if field.is_required()
        }
        required = without_default | set(CONTRACT.get(model.__name__, ()))
        made["required"] = [name for name in properties if name in required]
        made["description"] = _one_line(model.__doc__ or "")
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def report_schema() -> dict[str, Any]:
    """The schema as data, in draft 2020-12."""
    made = Report.model_json_schema(mode="serialization", schema_generator=_Generator)
    made["properties"]["schema_version"]["const"] = REPORT_VERSION
    return {"$schema": _Generator.schema_dialect, **made}


def schema_text() -> str:
    """The text of `docs/report.schema.json`."""
    return json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field of `model`, in one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, text in pairwise(definition.body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
            and field.target.id in model.model_fields
        ):
            found[field.target.id] = re.sub(r"\bNone\b", "null", _one_line(text.value.value))
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _main(arguments: list[str]) -> None:
    if not arguments:
        sys.stdout.write(schema_text())
        return
    path = Path(arguments[0])
    with write_atomically(path) as temporary:
        temporary.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1:])
