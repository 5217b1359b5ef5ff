"""A document -> HTML: a page that stands alone, and a cell of a notebook. Nothing is read here."""

from __future__ import annotations

from typing import Any, NoReturn

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.report.document import Document
from harness.report.escape import printable
from harness.report.plots.figures import Plot
from harness.report.plots.svg import for_page
from harness.report.text.summary import NOTHING_COMPARED
from harness.report.text.verdict import tone

__all__ = ["cell", "page"]

_OPEN = ("upgrade", "pairs", "metrics", "speed", "baseline", "explanation", "causes")
"""Sections that a cell of a notebook shows open."""


def page(document: Document) -> str:
    """One HTML file with everything in it; it asks for nothing from a network."""
    return _render("page.html.j2", document, heading="h3", inline=_inline)


def cell(document: Document) -> str:
    """A fragment of HTML without styles that would reach the rest of a notebook, or plots."""
    return _render("cell.html.j2", document, heading="h4", inline=None)


def _render(template: str, document: Document, **context: Any) -> str:
    """Text from outside is escaped, and its control characters are written out."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_control_characters,
    )
    environment.globals |= {
        "tone": tone,
        "refuse": _refuse,
        "nothing_compared": NOTHING_COMPARED,
        "open": _OPEN,
        **context,
    }
    return environment.get_template(template).render(document=document)


def _refuse(block: Any) -> NoReturn:
    raise TypeError(f"no macro shows {block!r}")


def _inline(plot: Plot) -> Markup:
    """A plot as a part of the page: what we drew ourselves, its texts escaped when it was."""
    return Markup(for_page(plot.svg, plot.name))  # noqa: S704  # serialised by ElementTree


def _without_control_characters(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value
