"""Published reports: small, with working links, and each with the command that makes it again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

REPORTS = Path(__file__).parents[2] / "reports"
FOLDERS = sorted((REPORTS / "published").iterdir())
LIMIT_BYTES = 6_000_000
"""For all published files together, so that the tracked tree stays below 10 MB."""

_MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HTML_LINK = re.compile(r"""\b(?:href|src)=["']([^"']+)["']""")
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
_MADE_BY = re.compile(r"^Made by `([^`]+)`", re.MULTILINE)
_STUDY = re.compile(r"python -m ([\w.]+)")


def dead_links(path: Path) -> Iterator[str]:
    """The relative links of a Markdown or HTML file that lead nowhere."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        links = _MARKDOWN_LINK.findall(_CODE.sub("", text))
    else:
        links = _HTML_LINK.findall(text)
    for link in links:
        target = link.partition("#")[0]
        if "://" not in link and target and not (path.parent / target).exists():
            yield f"{path.parent.name}/{path.name}: {link}"


def test_every_relative_link_resolves() -> None:
    """In the README, Markdown and page of each folder, and in the index."""
    paths = [*REPORTS.rglob("published/**/*.md"), *REPORTS.rglob("published/**/*.html")]
    assert {*FOLDERS} <= {path.parent for path in paths}
    problems = [link for path in (REPORTS / "README.md", *paths) for link in dead_links(path)]
    assert [] == problems


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.md", "See [records](records/one.parquet)."),
        ("report.html", "<a href='plots/one.svg'>plot</a>"),
    ],
)
def test_a_dead_link_is_found(name: str, text: str, tmp_path: Path) -> None:
    """Control: a link to a record that is gone is reported."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert 1 == len(list(dead_links(tmp_path / name)))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_readme_names_the_command(folder: Path) -> None:
    """A study that exists, or a harness command: the one in the report where there is a report."""
    text = " ".join((folder / "README.md").read_text(encoding="utf-8").split())
    made_by = _MADE_BY.search((folder / "README.md").read_text(encoding="utf-8"))
    assert made_by is not None
    command = " ".join(made_by[1].split())
    assert command.startswith("python -m studies." if not is_report(folder) else "harness ")
    for module in _STUDY.findall(text):
        assert find_spec(module) is not None, module


def test_a_command_in_a_readme_is_that_of_the_report() -> None:
    """The index shows the report's command, so both agree."""
    rows = (REPORTS / "README.md").read_text(encoding="utf-8")
    for folder in filter(is_report, FOLDERS):
        made_by = _MADE_BY.search((folder / "README.md").read_text(encoding="utf-8"))
        assert made_by is not None
        assert f"`{' '.join(made_by[1].split())}`" in rows, folder.name


def is_report(folder: Path) -> bool:
    """Whether a harness command made the folder, not a study."""
    return (folder / "report.json").is_file()


def test_published_files_stay_small() -> None:
    """Records are kept in one example alone."""
    sizes = [path.stat().st_size for path in REPORTS.rglob("published/**/*") if path.is_file()]
    assert sum(sizes) <= LIMIT_BYTES
    assert {"example"} >= {path.parents[1].name for path in REPORTS.glob("published/*/records/*")}
