"""A report -> Markdown and HTML by templates. Nothing is read and nothing is written here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from harness.report.escape import markdown_cell, printable
from harness.report.plots.benchmark import SESSION_NOTES, SESSIONS
from harness.report.plots.collect import CURVE_HEADINGS, CURVE_NOTES, NOTHING, Exhibits, curve_rows
from harness.report.plots.figures import Plot
from harness.report.plots.svg import for_page
from harness.report.text import (
    explanation as explained,
)
from harness.report.text import (
    modules as localization,
)
from harness.report.text import (
    noise,
    speeds,
)
from harness.report.text import (
    regression as gate,
)
from harness.report.text import (
    regression_rows as gate_panel,
)
from harness.report.text import (
    upgrade as upgraded,
)
from harness.report.text.causes import because, reasons, settings_rows
from harness.report.text.seeds import gathered, judged, run_name, seed_lines
from harness.report.text.summary import first_lines, remarks
from harness.results.comparison import Comparison
from harness.results.metrics import metric
from harness.results.report import Report
from harness.spec.recipe import Recipe
from harness.units import number, quantity

__all__ = ["HEADLINES", "MARKDOWN_BYTES", "conventions", "headline", "render", "shown", "tone"]

MARKDOWN_BYTES = 60_000
"""Of `report.md` at most: a step's summary on GitHub takes 1 MiB, and a reader less."""

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


_TONES: dict[str, Literal["good", "bad"]] = {
    **dict.fromkeys(("identical", "within_noise", "equivalent", "faster", "completed"), "good"),
    **dict.fromkeys(("stopped", "unchanged", "improved"), "good"),
    **dict.fromkeys(("different", "slower", "failed", "regressed", "regression"), "bad"),
}
_SECTIONS = {
    "upgrade": "What changed, and what not",
    "pairs": "Pairs",
    "curves": "Curves",
    "metrics": "Final metrics",
    "speed": "Speed",
    "baseline": "Baseline",
    "causes": "Causes and remedies",
    "setup": "Set-up",
    "reproduce": "To reproduce",
}
"""Of a page, in their order."""
_BLANK_LINES = re.compile(r"\n{3,}")
_ROWS = (80, 40, 20, 10, 5)
"""Rows that a table of Markdown may have, the first number with which all fits."""


def tone(word: str) -> Literal["good", "bad", "unsure"]:
    """Whether an outcome, a status, a list or a verdict is good news; not to know is neither."""
    return _TONES.get(word, "unsure")


def headline(report: Report) -> str:
    """The verdict in a few words; agreement is that of the pair that agrees least."""
    if report.upgrade or report.bisect:
        return _of_versions(report)
    if report.gate is not None and report.verdict == "equivalent":
        return "Nothing got worse"
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


def render(
    report: Report, template: str, exhibits: Exhibits = NOTHING, now: datetime | None = None
) -> str:
    """The report through `template` ('report.md', 'report.html', or 'cell.html' for a notebook).

    `now`: when the page is made, for the age of a baseline. HTML is escaped, and text from outside
    holds no control characters in either. Markdown stays below `MARKDOWN_BYTES`: its long tables
    are cut, and say so.
    """
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_control_characters,
    )
    environment.filters |= {
        "quantity": quantity,
        "number": number,
        "shown": shown,
        "cell": markdown_cell,
    }
    environment.filters |= {"remarks": remarks, "run_name": run_name, "capitalised": _capitalised}
    page = environment.get_template(f"{template}.j2")
    context = _context(report, exhibits, now or datetime.now(UTC))
    if not template.endswith(".md"):
        return page.render(context)
    text = ""
    for rows in _ROWS:
        text = _BLANK_LINES.sub("\n\n", page.render(context, most=rows)).strip() + "\n"
        if len(text.encode()) <= MARKDOWN_BYTES:
            return text
    return _cut(text)


def _context(report: Report, exhibits: Exhibits, now: datetime) -> dict[str, Any]:
    """What the templates see."""
    metrics = list(dict.fromkeys(name for run in report.runs for name in run.final_metrics))
    return {
        "report": report,
        "exhibits": exhibits,
        "now": now,
        "headline": headline(report),
        "sentences": first_lines(report),
        "contents": [(name, _SECTIONS[name]) for name in _SECTIONS if _there(report, name)],
        "tone": tone,
        "inline": _inline,
        "stages": _stages,
        "told_first": _told_first,
        "cause_of": _cause_of,
        "curve_rows": curve_rows,
        "CURVE_HEADINGS": CURVE_HEADINGS,
        "CURVE_NOTES": CURVE_NOTES,
        "SESSIONS": SESSIONS,
        "SESSION_NOTES": SESSION_NOTES,
        "gate": gate,
        "gate_panel": gate_panel,
        "singles": [run for run in report.runs if run.seed is None],
        "gathered": gathered(report.runs),
        "judged": judged,
        "seed_lines": seed_lines,
        "noise": noise,
        "speeds": speeds,
        "upgraded": upgraded,
        "settings_rows": settings_rows,
        "reasons": reasons,
        "explained": explained,
        "localization": localization,
        "metric": metric,
        "title": lambda name: metric(name).title,
        "metrics": [metric(name) for name in metrics],
        "conventions": conventions(report),
        "departures": departures,
        "shown_items": lambda found: [(name, shown(value)) for name, value in found.items()],
        "remedies": list(
            dict.fromkeys((run.loop, what) for run in report.runs for what in run.remedies)
        ),
        "loops": list(dict.fromkeys(run.loop for run in report.runs)),
        "command": shlex.join(report.command),
        "fence": _fence,
    }


def _cause_of(comparison: Comparison) -> str:
    """Of a pair that differs; what is within noise needs none."""
    return because(comparison).removeprefix("cause: ") if comparison.outcome == "different" else ""


def _there(report: Report, section: str) -> bool:
    """Whether a report has something to show in a section."""
    if section == "upgrade":
        return bool(report.upgrade or report.bisect)
    if section == "curves":
        return bool(report.comparisons and report.runs)
    if section == "metrics":
        return bool(report.runs or not report.bench)
    if section == "causes":
        return bool(
            report.explanations
            or any(reasons(one) or one.settings for one in report.comparisons)
            or any(run.remedies for run in report.runs)
        )
    return section not in ("speed", "baseline") or bool(
        report.bench if section == "speed" else report.gate
    )


def _inline(plot: Plot) -> Markup:
    """A plot as a part of the page: what we drew ourselves, its texts escaped when it was."""
    return Markup(for_page(plot.svg, plot.name))  # noqa: S704  # serialised by ElementTree


def _told_first(comparisons: Sequence[Comparison], most: int) -> Sequence[Comparison]:
    """So many of them; where there are more, those that are not identical before the others."""
    if len(comparisons) <= most:
        return comparisons
    return sorted(comparisons, key=lambda one: one.outcome == "identical")[:most]


def _without_control_characters(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fence(text: str) -> str:
    """Text as a block of code that nothing in it can close."""
    ticks = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}sh\n{text}\n{fence}"


def _cut(text: str) -> str:
    """Whole lines up to the limit, and a last one that says so."""
    said = "\n\nCut here: the whole is in `report.html`.\n"
    kept = text.encode()[: MARKDOWN_BYTES - len(said)].decode(errors="ignore")
    return kept[: kept.rindex("\n")] + said
