"""The page as a file: nothing from a network, nobody's markup, in order, and small."""

import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.report.formats.markdown import MARKDOWN_BYTES
from harness.report.plots.collect import collect_plots
from harness.report.render import render
from harness.report.write import write
from harness.results.report import Report
from tests.support.judged_reports import gated_report
from tests.support.run_folders import HOSTILE, long_report, pair_report, timed_report
from tests.support.small_report import (
    DIFFERENT,
    EXPLAINED,
    IDENTICAL,
    explained_report,
    run,
    seeds_report,
    small_report,
)

PUBLISHED = Path(__file__).parents[3] / "reports" / "published"
LIMIT_BYTES = 5_000_000
ORDER = (
    "speed",
    "baseline",
    "explanation",
    "causes",
    "pairs",
    "curves",
    "metrics",
    "setup",
    "reproduce",
)


class Page(HTMLParser):
    """Elements of a page with their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]

    def faults(self) -> Iterator[str]:
        """What keeps it from being read by all, offline, and safely."""
        ids = [found["id"] for _, found in self.seen if "id" in found]
        if len(ids) != len(set(ids)):
            yield "an id twice"
        for tag, found in self.seen:
            places = [found.get(name) or "" for name in ("src", "href", "xlink:href", "data")]
            if any(place and not place.startswith("#") for place in places):
                yield f"<{tag}> reads {places}"
            if any(place.startswith("#") and place[1:] not in ids for place in places):
                yield f"<{tag}> points nowhere: {places}"
            if tag in ("script", "iframe", "object", "embed", "form", "link", "base"):
                yield f"<{tag}>"
            if any(name.startswith("on") for name in found):
                yield f"<{tag}> has a handler"
            if tag == "th" and "scope" not in found:
                yield "a heading of a table without scope"
            if tag == "svg" and found.get("role") != "img":
                yield "a picture without role"
        levels = [int(tag[1]) for tag, _ in self.seen if re.fullmatch("h[1-6]", tag)]
        if levels[:1] != [1] or levels.count(1) != 1:
            yield "not one h1 at the beginning"
        if any(two > one + 1 for one, two in itertools.pairwise(levels)):
            yield "a level of headings left out"
        if len(self.all("table")) != len(self.all("caption")):
            yield "a table without caption"
        if not all(len(self.all(tag)) == 1 for tag in ("main", "header", "nav", "footer")):
            yield "a landmark is missing"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every kind of page, with its plots."""
    folder = tmp_path_factory.mktemp("pages")
    pair = pair_report(folder / "pair")
    bench = timed_report(folder / "bench")
    return {
        "pair": render(pair, "report.html", collect_plots(pair, folder / "pair")),
        "bench": render(bench, "report.html", collect_plots(bench, folder / "bench")),
        "small": render(small_report(), "report.html"),
        "seeds": render(seeds_report(), "report.html"),
        "explained": render(explained_report(), "report.html"),
        "gate": render(gated_report(), "report.html"),
        "empty": render(small_report(comparisons=(), runs=()), "report.html"),
        "all": render(gated_report(bench=bench.bench, explanations=(EXPLAINED,)), "report.html"),
    }


def test_pages_are_read_offline_and_by_all(pages: dict[str, str]) -> None:
    """No script, nothing from elsewhere, captions, scopes, landmarks, headings in order."""
    for name, text in pages.items():
        assert [] == list(Page(text).faults()), name
        assert "default-src 'none'; style-src 'unsafe-inline'" in text
        assert "@import" not in text
        assert "url(h" not in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("</main>", '<script src="x.js"></script></main>'),
        ("</main>", '<img src="http://example.org/x.png"></main>'),
        ("</main>", '<p onclick="x()">x</p></main>'),
        ("</main>", "<h4>x</h4><table><tr><th>x</th></tr></table></main>"),
        ("<h2 ", "<h3 "),
        ("<caption>", "<p>"),
        ("<nav ", "<div "),
        ('id="curves"', 'id="pairs"'),
    ],
)
def test_a_fault_of_a_page_is_seen(before: str, after: str) -> None:
    """Control: each of them, planted alone."""
    text = render(small_report(), "report.html")
    assert before in text
    assert [] != list(Page(text.replace(before, after, 1)).faults())


def test_sections_are_in_order(pages: dict[str, str]) -> None:
    """What answers first: speed, baseline, causes; then the evidence; set-up and command last."""
    found = {}
    for name, text in pages.items():
        ids = [str(heading.get("id")) for heading in Page(text).all("h2")]
        assert ids == [section for section in ORDER if section in ids]
        assert {"setup", "reproduce"} <= set(ids)
        found[name] = ids
    assert list(ORDER) == found["all"]


def hostile_report(folder: Path) -> Report:
    """Markup wherever somebody else chose a text, with records to draw."""
    pair = pair_report(folder, (HOSTILE, "plain"))
    awkward = {"status": "failed", "error": HOSTILE, "warnings": (HOSTILE,), "remedies": (HOSTILE,)}
    gate = gated_report().gate
    assert gate is not None
    items = tuple(
        one.model_copy(update={"sentence": HOSTILE, "case": HOSTILE, "before": HOSTILE})
        for one in gate.items
    )
    first = pair.comparisons[0].first_divergence
    assert first is not None
    comparison = pair.comparisons[0].model_copy(
        update={
            "note": HOSTILE,
            "doubts": (HOSTILE,),
            "causes": DIFFERENT.causes,
            "settings": DIFFERENT.settings,
            "first_divergence": first.model_copy(
                update={"tensor": HOSTILE, "reference": HOSTILE, "detail": HOSTILE}
            ),
        }
    )
    return pair.model_copy(
        update={
            "comparisons": (comparison, *gated_report().comparisons),
            "runs": (*pair.runs, run(f"{HOSTILE}, too", final_metrics={HOSTILE: 1.0}, **awkward)),
            "gate": gate.model_copy(update={"items": items, "moved_together": HOSTILE}),
            "recipes": {HOSTILE: {HOSTILE: HOSTILE}},
            "environment": {HOSTILE: HOSTILE},
            "command": ("harness", HOSTILE),
        }
    )


def test_a_record_full_of_markup_is_shown_as_text(tmp_path: Path) -> None:
    """In every part of the page; control characters are written out."""
    report = hostile_report(tmp_path)
    text = render(report, "report.html", collect_plots(report, tmp_path))
    page = Page(text)

    assert [] == list(page.faults())
    assert [] == page.all("img")
    assert 2 * 3 == len(page.all("svg"))
    assert text.count("&lt;script&gt;") > 25
    assert "{{ 7 * 7 }}" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    assert "\\x00\\x07\\u202e" in text


def test_a_hundred_thousand_steps_stay_small(tmp_path: Path) -> None:
    """Page and plots of a run whose steps all differ."""
    write(long_report(tmp_path, 100_000, spike=54_321), tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    drawn = re.findall(r'\bd="([^"]*)"', text)

    assert len(text.encode()) < LIMIT_BYTES
    assert sum(path.stat().st_size for path in (tmp_path / "plots").iterdir()) < LIMIT_BYTES
    assert 3 == len(list((tmp_path / "plots").iterdir()))
    assert max(path.count("L") for path in drawn) <= 800
    assert "100000 steps" in text


def test_plots_of_an_earlier_report_are_gone(tmp_path: Path) -> None:
    """The folder holds those of the page, and none where there are none."""
    report = pair_report(tmp_path)
    write(report, tmp_path)
    assert 3 == len(list((tmp_path / "plots").glob("*.svg")))

    write(report.model_copy(update={"comparisons": ()}), tmp_path)
    assert not (tmp_path / "plots").exists()


def test_markdown_stays_within_a_summary() -> None:
    """Of hundreds of pairs it cuts the tables and counts what is left out."""
    pairs = [IDENTICAL.model_copy(update={"case": f"case-{number}"}) for number in range(300)]
    others = [DIFFERENT.model_copy(update={"case": f"others-{number}"}) for number in range(120)]
    runs = tuple(run("plain", case=f"case-{number}") for number in range(300))
    text = render(small_report(comparisons=(*pairs, *others), runs=runs), "report.md")

    assert len(text.encode()) <= MARKDOWN_BYTES
    assert re.search(r"more of 420 rows are in `report.html`", text)
    assert re.search(r"more of 120 pairs that are not identical", text)
    assert "others-0" in text
    assert "more of" not in render(small_report(), "report.md")


def test_what_cannot_be_cut_by_rows_is_cut_by_lines() -> None:
    """Thousands of warnings: whole lines up to the limit, and a last one that states the cut."""
    warnings = tuple(f"warning {number}: {'on' * 40}" for number in range(2000))
    text = render(small_report(runs=(run("plain", warnings=warnings),)), "report.md")

    assert len(text.encode()) <= MARKDOWN_BYTES
    assert text.rstrip().endswith("Cut here: `report.html` has the rest.")


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in PUBLISHED.glob("*/report.json")), ids=lambda p: p.name
)
def test_published_reports_are_read_still(folder: Path) -> None:
    """Those of schema 1 that were written before curves and gates: both pages, within limits.

    Most are published without records: then the page states that it cannot draw the curves.
    """
    report = Report.read(folder)
    plots = collect_plots(report, folder)
    text = render(report, "report.html", plots)

    assert [] == list(Page(text).faults())
    assert len(text.encode()) < LIMIT_BYTES
    assert len(render(report, "report.md", plots).encode()) <= MARKDOWN_BYTES
    drawn = list(plots.all())
    assert 2 * len(drawn) == len(Page(text).all("svg"))
    if (folder / "records").is_dir():
        assert len(drawn) >= 3
    else:
        assert plots.curves.notes or any(bench.note for bench in plots.benches.values())
