"""A document -> HTML: a page that stands alone, and a cell of a notebook. Nothing is read here."""

from __future__ import annotations

from typing import Any, NoReturn

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.report.document import Document
from harness.report.escape import printable
from harness.report.plots.svg import for_page
from harness.report.text.summary import NOTHING_COMPARED
from harness.report.text.verdict import tone

__all__ = ["cell", "page"]

_OPEN = ("upgrade", "pairs", "metrics", "speed", "baseline", "explanation", "causes")
"""Sections that a cell of a notebook shows open."""


_MARKS = {"good": "✓", "bad": "✗", "unsure": "?"}


def page(document: Document) -> str:
    """One self-contained HTML file; it requests nothing from a network."""
    return _render("page.html.j2", document, heading="h3", inline=_inline)


def cell(document: Document) -> str:
    """A fragment of HTML without plots, and without styles that would affect the notebook."""
    return _render("cell.html.j2", document, heading="h4", inline=None)


def _render(template: str, document: Document, **context: Any) -> str:
    """Render a template; text from outside is escaped, its control characters are written out."""
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
        "marks": _MARKS,
        "refuse": _refuse,
        "nothing_compared": NOTHING_COMPARED,
        "open": _OPEN,
        **context,
    }
    return environment.get_template(template).render(document=document)


def _refuse(block: Any) -> NoReturn:
    raise TypeError(f"no macro shows {block!r}")


def _inline(drawn: str, name: str) -> Markup:
    """A drawing for the page; its texts were escaped when it was drawn."""
    return Markup(for_page(drawn, name))  # noqa: S704  # serialised by ElementTree


def _without_control_characters(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value
