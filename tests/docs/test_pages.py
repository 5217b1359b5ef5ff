"""The README stays short and plain, every link resolves, and generated pages are current."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from docs.generate import PAGES as GENERATED
from tests.docs.blocks import ROOT, paragraphs_of

README = ROOT / "README.md"
PAGES = [
    README,
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "reports/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def test_the_readme_is_at_most_8000_bytes() -> None:
    """A reader should see the whole of it."""
    assert len(README.read_bytes()) <= 8000


def test_paragraphs_of_the_readme_are_short() -> None:
    """At most 30 words on average, and none above 70."""
    counts = [len(paragraph.split()) for paragraph in paragraphs_of(README)]
    assert sum(counts) / len(counts) <= 30
    assert max(counts) <= 70


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """A relative link names a file of this repository, and a heading of it."""
    assert [] == dead_links(page, page.read_text(encoding="utf-8"))


def test_a_dead_link_is_found() -> None:
    """Control."""
    text = "[a](docs/nothing.md), [b](README.md#no-such-heading), [c](README.md)"
    assert ["docs/nothing.md", "README.md#no-such-heading"] == dead_links(README, text)


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_current(name: str) -> None:
    """`python -m docs.generate` writes it from the code; so does HARNESS_UPDATE_GOLDEN=1 here."""
    path = ROOT / "docs" / name
    if os.environ.get("HARNESS_UPDATE_GOLDEN") == "1":
        path.write_text(GENERATED[name](), encoding="utf-8")
    assert GENERATED[name]() == path.read_text(encoding="utf-8")


def dead_links(page: Path, text: str) -> list[str]:
    """The relative links of a page that lead nowhere."""
    dead = []
    for link in _LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        name, _, heading = link.partition("#")
        if name.startswith(("http:", "https:")):
            continue
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (heading and heading not in headings(target)):
            dead.append(link)
    return dead


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in found)
    return {heading.replace(" ", "-") for heading in plain}
