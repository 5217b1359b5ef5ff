"""`docs/report.schema.json` is current; it accepts real reports and refuses broken ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.results.comparison import Finding
from harness.results.divergence import STAGES
from harness.results.report import Report
from harness.results.report_schema import CONTRACT, report_schema, schema_text
from tests.support.judged_reports import bench_report, gated_report
from tests.support.records import draft, write_run_folder
from tests.support.small_report import explained_report, noisy, seeds_report, small_report

TOP = Path(__file__).parents[2]
SCHEMA_FILE = TOP / "docs" / "report.schema.json"
PUBLISHED = sorted((TOP / "reports" / "published").rglob("report.json"))
MODELS = {"Report": report_schema(), **report_schema()["$defs"]}


def errors(data: Any) -> list[str]:
    """The messages of the validator on a report as data, with their places."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    found = list(jsonschema.Draft202012Validator(schema).iter_errors(data))
    for error in found:
        found += error.context  # why no alternative of an optional field fits
    return [f"{error.json_path}: {error.message}" for error in found]


def as_data(report: Report) -> Any:
    """A report as another program reads it."""
    return json.loads(report.model_dump_json())


def test_the_file_is_current() -> None:
    """`python -m harness.results.report_schema docs/report.schema.json` writes it."""
    assert schema_text() == SCHEMA_FILE.read_text(encoding="utf-8")


def test_the_file_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


@pytest.mark.parametrize(
    "report",
    [
        small_report(),
        seeds_report(),
        explained_report(),
        bench_report(),
        gated_report(),
        small_report(comparisons=(noisy("within_noise"),)),
    ],
    ids=["run", "seeds", "explain", "bench", "check", "noise"],
)
def test_a_report_of_each_command_is_valid(report: Report) -> None:
    assert [] == errors(as_data(report))


def test_a_report_of_records_is_valid(tmp_path: Path) -> None:
    """`report.json` as a run writes it."""
    write_run_folder(tmp_path / "run", {"plain": draft(), "trainer": draft("trainer")})
    text = (tmp_path / "run" / "report.json").read_text(encoding="utf-8")
    assert [] == errors(json.loads(text))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_a_published_report_is_valid(path: Path) -> None:
    """Real reports, of this version and of earlier ones."""
    assert [] == errors(json.loads(path.read_text(encoding="utf-8")))


def test_there_are_published_reports() -> None:
    assert len(PUBLISHED) > 5


def test_numbers_that_are_not_finite_are_valid() -> None:
    """They are the strings that Python's and JavaScript's parsers do not turn into numbers."""
    wild = Finding(
        metric="loss", unit="", outcome="different", reference=float("nan"), candidate=float("inf")
    )
    (one, *_) = small_report().comparisons
    report = small_report(comparisons=(one.model_copy(update={"findings": (wild,)}),))
    data = as_data(report)
    assert "NaN" == data["comparisons"][0]["findings"][0]["reference"]
    assert [] == errors(data)


BROKEN: dict[str, tuple[Callable[[Any], object], str]] = {
    "an unknown verdict": (lambda r: r.update(verdict="fine"), "$.verdict"),
    "another version": (lambda r: r.update(schema_version=2), "$.schema_version"),
    "an unknown outcome": (lambda r: r["comparisons"][0].update(outcome="alike"), ".outcome"),
    "steps as text": (lambda r: r["comparisons"][0].update(steps="6"), ".steps"),
    "a number as text": (lambda r: r["runs"][0]["final_metrics"].update(f1="0.9"), ".f1"),
    "an interval of one end": (
        lambda r: holder(r, "Finding").update(interval=[0.1]),
        ".interval",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_report_is_refused(fault: str) -> None:
    """Each fault is reported at its place."""
    spoil, place = BROKEN[fault]
    data = as_data(small_report())
    spoil(data)
    assert any(place in error.split(":")[0] for error in errors(data)), errors(data)


def holder(data: Any, model: str) -> Any:
    """The first object of that model within a report."""
    comparisons = data["comparisons"]
    if model == "Report":
        return data
    if model == "RunSummary":
        return data["runs"][0]
    if model == "Divergence":
        return next(one["first_divergence"] for one in comparisons if one["first_divergence"])
    lists = {"Cause": "causes", "Finding": "findings"}
    if model in lists:
        return next(item for one in comparisons for item in one[lists[model]])
    return comparisons[0]


@pytest.mark.parametrize(
    ("model", "field"), [(model, field) for model, fields in CONTRACT.items() for field in fields]
)
def test_every_field_of_the_contract_is_described_and_required(model: str, field: str) -> None:
    """Without it, a report is refused."""
    assert MODELS[model]["properties"][field]["description"]
    data = as_data(small_report())
    assert [] == errors(data)
    del holder(data, model)[field]
    assert any(f"{field!r} is a required property" in error for error in errors(data))


@pytest.mark.parametrize("model", MODELS)
def test_every_field_is_described(model: str) -> None:
    """A field that is added gets a docstring, which becomes its description."""
    schema = MODELS[model]
    undescribed = [
        name for name, field in schema["properties"].items() if "description" not in field
    ]
    assert [] == undescribed
    assert schema["description"]


def test_a_field_that_is_not_of_the_contract_may_be_missing() -> None:
    """So earlier reports stay valid when a field is added."""
    data = as_data(small_report())
    for comparison in data["comparisons"]:
        del comparison["localization"], comparison["detail"]
    del data["odd_one_out"]
    assert [] == errors(data)


def test_the_description_of_a_stage_names_them_all() -> None:
    text = MODELS["Divergence"]["properties"]["stage"]["description"]
    assert [] == [stage for stage in STAGES if stage not in text]
