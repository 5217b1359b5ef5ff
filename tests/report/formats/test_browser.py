"""The page in a real headless Chromium: opened from disk, with the network off.

Skipped where there is no Chromium (Debian: `apt-get install chromium`) or no playwright.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.report.write import write
from harness.results.report import Report
from tests.report.formats.test_page import hostile_report
from tests.support.judged_reports import gated_report
from tests.support.run_folders import failed_report, identical_report, pair_report, timed_report
from tests.support.small_report import ORIGIN

playwright_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]

PHONE, DESK = (360, 780), (1280, 900)
SCREENS = ((1400, 900), (390, 844))
PLOTS = {"pair": 3, "bench": 1, "gate": 0, "hostile": 3, "identical": 3, "failed": 3}
"""Plots that are shown without unfolding anything."""
LONGEST_BENCH_PX = 3000
_PATIENCE_MS = 300_000  # a machine that measures something leaves a browser little
LEAST_TEXT_PX = 9
"""Height of a line of text in a plot, as it is seen."""


@dataclass
class Seen:
    """A page as it was opened."""

    page: Any
    messages: list[str]
    """The messages of the console, and every error."""
    asked: list[str]
    """Addresses that it asked for."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=CHROMIUM,
            timeout=_PATIENCE_MS,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind."""
    root = tmp_path_factory.mktemp("pages")
    reports: dict[str, Report] = {
        "pair": pair_report(root / "pair"),
        "bench": timed_report(root / "bench"),
        "gate": gated_report(),
        "hostile": hostile_report(root / "hostile"),
        "identical": identical_report(root / "identical"),
        "failed": failed_report(root / "failed"),
    }
    (root / "gate").mkdir()
    for name, report in reports.items():
        origin = ORIGIN.model_copy(update={"name": name})
        write(report.model_copy(update={"origin": origin}), root / name, ["html"])
    return {name: root / name for name in reports}


def open_page(browser: Any, path: Path, size: tuple[int, int], scheme: str = "light") -> Seen:
    """The file at `path`, offline."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True
    )

    def refuse(dialog: Any) -> None:
        seen.messages.append(dialog.message)
        dialog.dismiss()

    context.set_default_timeout(_PATIENCE_MS)
    seen = Seen(context.new_page(), [], [])
    seen.page.on("console", lambda message: seen.messages.append(message.text))
    seen.page.on("pageerror", lambda error: seen.messages.append(str(error)))
    seen.page.on("dialog", refuse)
    seen.page.on("request", lambda request: seen.asked.append(request.url))
    seen.page.goto(path.as_uri())
    return seen


def too_wide(page: Any) -> int:
    """Pixels by which the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong for keyboards, screen readers and weak eyes."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", PLOTS)
def test_a_page_is_whole_and_fits(
    browser: Any, folders: dict[str, Path], name: str, size: tuple[int, int], scheme: str
) -> None:
    """No word in the console, nothing asked for, no wider than the window, each plot legible, and
    no violation by axe-core."""
    path = folders[name] / "report.html"
    seen = open_page(browser, path, size, scheme)
    page = seen.page

    assert [] == seen.messages
    assert [path.as_uri()] == seen.asked
    assert too_wide(page) <= 0
    boxes = [svg.bounding_box() for svg in page.locator("svg[role=img]:visible").all()]
    assert PLOTS[name] == len(boxes)
    assert all(box["width"] > 250 and box["height"] > 50 for box in boxes)
    heights = page.eval_on_selector_all(
        "svg text", "all => all.map(text => text.getBoundingClientRect().height).filter(h => h)"
    )
    assert all(height >= LEAST_TEXT_PX for height in heights)
    assert [] == violations(page)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert too_wide(page) <= 0
    assert [] == violations(page)
    page.context.close()


@pytest.mark.parametrize("size", SCREENS, ids=["desk", "phone"])
@pytest.mark.parametrize("name", PLOTS)
def test_the_first_screen_answers(
    browser: Any, folders: dict[str, Path], name: str, size: tuple[int, int]
) -> None:
    """Verdict, run, case, date, host and every answer are seen without scrolling, each link leads
    to its evidence; of a bench also the forest plot, and its page is short."""
    page = open_page(browser, folders[name] / "report.html", size).page
    ends = page.eval_on_selector_all(
        "h1, .about dd, .answers > li", "all => all.map(one => one.getBoundingClientRect().bottom)"
    )
    if name != "hostile":
        assert max(ends) <= size[1]
    assert {"run", "date", "took", "host"} <= set(page.locator(".about dt").all_inner_texts())
    targets = [link.get_attribute("href") for link in page.locator(".answers a").all()]
    assert targets
    assert all(page.locator(f"[id='{str(target)[1:]}']").count() == 1 for target in targets)
    if name == "bench" and size == SCREENS[0]:
        forest = page.locator("svg[role=img]:visible").first.bounding_box()
        assert forest["y"] + forest["height"] <= size[1]
        assert forest["width"] > 1000
        assert page.evaluate("document.documentElement.scrollHeight") < LONGEST_BENCH_PX


def test_a_wide_table_has_a_hint(browser: Any, folders: dict[str, Path]) -> None:
    """A table that is cut at the edge says so in words; one that fits does not."""
    heights = """all => all.filter(one => one.checkVisibility()).map(one =>
        [one.scrollWidth > one.clientWidth, one.querySelector('.hint').offsetHeight > 5])"""
    for size in (*SCREENS, PHONE):
        page = open_page(browser, folders["pair"] / "report.html", size).page
        page.wait_for_timeout(100)  # a scroll timeline begins with the next frame
        found = page.eval_on_selector_all(".table", heights)
        assert found
        assert all(cut == told for cut, told in found), (size, found)
    assert any(cut for cut, _ in found)


def test_the_page_changes_with_the_scheme(browser: Any, folders: dict[str, Path]) -> None:
    """Ground and curves have other colours in the dark; on paper they are those of the light."""
    colours = """() => [getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector('svg path[style*="plot-one"]')).stroke]"""
    path = folders["pair"] / "report.html"
    light, dark = (
        open_page(browser, path, DESK, scheme).page.evaluate(colours)
        for scheme in ("light", "dark")
    )
    printed = open_page(browser, path, DESK, "dark").page
    printed.emulate_media(media="print")

    assert all(one != two for one, two in zip(light, dark, strict=True))
    assert light == printed.evaluate(colours)


def test_on_paper_everything_is_unfolded(browser: Any, folders: dict[str, Path]) -> None:
    """What is folded on a screen cannot be opened on paper."""
    page = open_page(browser, folders["pair"] / "report.html", DESK).page
    versions = page.locator("details table").last
    assert not versions.is_visible()
    page.emulate_media(media="print")
    assert versions.is_visible()


def test_the_keyboard_reaches_everything(browser: Any, folders: dict[str, Path]) -> None:
    """The first stop leads past the list of contents; wide tables can be scrolled by keys."""
    page = open_page(browser, folders["pair"] / "report.html", PHONE).page
    page.keyboard.press("Tab")
    assert "Skip to the results" == page.evaluate("document.activeElement.textContent")
    stops = page.evaluate(
        "[...document.querySelectorAll('.table')].every(one => one.tabIndex === 0)"
    )
    assert stops


def test_markup_from_a_record_is_seen_as_text(browser: Any, folders: dict[str, Path]) -> None:
    """No script, no picture; the words are on the page as they were written."""
    seen = open_page(browser, folders["hostile"] / "report.html", DESK)
    assert 0 == seen.page.evaluate("document.scripts.length + document.images.length")
    shown = seen.page.inner_text("body")
    assert '<script>alert("x")</script>' in shown
    assert "<img src=x onerror=alert(1)>" in shown
    assert "\\x00\\x07\\u202e" in shown
    assert [] == seen.messages


@pytest.mark.parametrize(
    ("planted", "noticed"),
    [
        ("<div style='width: 3000px'>wide</div>", "wide"),
        ("<script>console.log('a script ran')</script>", "messages"),
        ("<img alt='' src='http://example.org/x.png'>", "messages"),
        ("<p style='color: #ccc; background: #fff'>pale</p>", "axe"),
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "axe"),
    ],
)
def test_a_planted_fault_is_noticed(
    browser: Any, folders: dict[str, Path], tmp_path: Path, planted: str, noticed: str
) -> None:
    """Control: the checks above fail on a page that has the fault."""
    text = (folders["pair"] / "report.html").read_text(encoding="utf-8")
    path = tmp_path / "report.html"
    path.write_text(text.replace("</main>", f"{planted}</main>"), encoding="utf-8")
    seen = open_page(browser, path, PHONE)

    found = {"wide": too_wide(seen.page) > 0, "messages": bool(seen.messages)}
    if noticed == "axe":
        found["axe"] = bool(violations(seen.page))
    assert found[noticed]
    assert noticed == "messages" or not found["messages"]
