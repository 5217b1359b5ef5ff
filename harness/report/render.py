"""A report -> Markdown and HTML by templates, and the files of an output folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from harness.compare import Comparison
from harness.errors import unknown_name
from harness.metrics import metric
from harness.record import write_atomically
from harness.report import dig, explained, noise, speeds, upgraded
from harness.report.causes import reasons, settings_rows
from harness.report.model import Report, first_lines, remarks
from harness.report.over_seeds import gathered, judged, run_name, seed_lines
from harness.spec import Recipe
from harness.units import number, quantity

__all__ = ["FORMATS", "HEADLINES", "headline", "render", "shown", "write"]

FORMATS = {"md": "report.md", "html": "report.html", "json": "report.json"}

HEADLINES = {
    "equivalent": "The loops are the same",
    "different": "The loops differ",
    "regression": "Something got worse",
    "no_verdict": "No verdict",
    "failed": "A run failed",
}
"""What each verdict says, in a few words."""
_LESS_THAN_IDENTICAL = {
    "within_noise": "The loops are the same but for rounding",
    "equivalent": "The loops end equally well",
}
_SPEEDS = {
    "equivalent": "The loops are equally fast",
    "different": "The loops are not equally fast, or do not compute the same",
}


def headline(report: Report) -> str:
    """The verdict in a few words; agreement is that of the pair that agrees least."""
    if report.upgrade or report.bisect:
        return _of_versions(report)
    if report.bench:
        return _SPEEDS.get(report.verdict, HEADLINES[report.verdict])
    if report.verdict == "equivalent":
        outcomes = {comparison.outcome for comparison in report.comparisons}
        for outcome in ("equivalent", "within_noise"):
            if outcome in outcomes:
                return _LESS_THAN_IDENTICAL[outcome]
    return HEADLINES[report.verdict]


def _of_versions(report: Report) -> str:
    if report.verdict == "equivalent":
        if any(comparison.test for comparison in report.comparisons):
            return "These versions end equally well"
        return "These versions train the same"
    if report.verdict != "different":
        return HEADLINES[report.verdict]
    if any(comparison.outcome == "different" for comparison in report.comparisons):
        return "These versions do not train the same"
    return "These versions compute the same, but not equally fast"


def shown(value: Any) -> str:
    """A value of a divergence or a recipe for a reader; long lists are cut."""
    if isinstance(value, float):
        return number(value, 9)
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        parts = [shown(part) for part in value[:12]]
        return "[" + ", ".join(parts + (["..."] if len(value) > 12 else [])) + "]"
    return "none" if value is None else str(value)


def conventions(report: Report) -> list[tuple[str, str, dict[str, str]]]:
    """Case, recipe field, and the value of each loop that departs there from the recipe."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for run in report.runs:
        for name, value in run.overrides.items():
            rows.setdefault((run.case, name), {})[run.loop] = shown(value)
    return [(case, name, values) for (case, name), values in sorted(rows.items())]


def departures(recipe: dict[str, Any]) -> dict[str, Any]:
    """Of a case's recipe and options, what is not as the course has it."""
    course = Recipe().model_dump(mode="json")
    return {
        name: value
        for name, value in recipe.items()
        if (value != course[name] if name in course else value not in (None, 0))
    }


def _stages(comparison: Comparison) -> list[tuple[str, str]]:
    """Stage and what became of it, for every stage recorded."""
    rows = []
    for stage in comparison.stages:
        text = f"equal in all {stage.compared}"
        if stage.first is not None:
            text = f"differs in {stage.differing} of {stage.compared}, from step {stage.first.step}"
            if stage.follows:
                text += f"; may follow from {stage.follows}"
        rows.append((stage.stage, text))
    return rows


def render(report: Report, template: str) -> str:
    """The report through `template` ('report.md', 'report.html', or 'cell.html' for a notebook).

    HTML is escaped.
    """
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"quantity": quantity, "number": number, "shown": shown, "cell": _cell}
    environment.filters |= {"remarks": remarks, "run_name": run_name}
    metrics = list(dict.fromkeys(name for run in report.runs for name in run.final_metrics))
    return environment.get_template(f"{template}.j2").render(
        report=report,
        headline=headline(report),
        sentences=first_lines(report),
        stages=_stages,
        singles=[run for run in report.runs if run.seed is None],
        gathered=gathered(report.runs),
        judged=judged,
        seed_lines=seed_lines,
        noise=noise,
        speeds=speeds,
        upgraded=upgraded,
        settings_rows=settings_rows,
        reasons=reasons,
        explained=explained,
        dig=dig,
        title=lambda name: metric(name).title,
        metrics=[metric(name) for name in metrics],
        conventions=conventions(report),
        departures=departures,
        remedies=list(
            dict.fromkeys((run.loop, what) for run in report.runs for what in run.remedies)
        ),
        loops=list(dict.fromkeys(run.loop for run in report.runs)),
        command=shlex.join(report.command),
    )


def _cell(text: Any) -> str:
    """Text that stays within one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def write(report: Report, folder: Path, formats: Iterable[str] = tuple(FORMATS)) -> list[Path]:
    """The files of `formats` in `folder`, each atomically. Raises `SpecError` for others."""
    names = list(formats)
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    written = []
    for name in names:
        path = folder / FORMATS[name]
        if name == "json":
            report.write_json(folder)
        else:
            with write_atomically(path) as temporary:
                temporary.write_text(render(report, FORMATS[name]), encoding="utf-8")
        written.append(path)
    return written
