"""Plots are the same on every machine, take the page's colours, and show text as text."""

import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from harness.report.plots.benchmark_figures import (
    Bar,
    Ratio,
    forest_plot,
    memory_plot,
    rounds_plot,
)
from harness.report.plots.curve_figures import curve_plot
from harness.report.plots.plot import Plot
from harness.report.plots.svg import COLOURS, _relative, drawing, for_page, label
from harness.report.plots.time_series import read_curves
from tests.support.run_folders import HOSTILE, differing, pair_report

SVG = "{http://www.w3.org/2000/svg}"


def words(plot: Plot) -> list[str]:
    """The texts that a plot shows."""
    root = ElementTree.fromstring(plot.wide)  # noqa: S314  # drawn here
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


@pytest.fixture
def loss(tmp_path: Path) -> Plot:
    """The loss of a pair that diverges at step 3."""
    (group,) = read_curves(pair_report(tmp_path), tmp_path).groups
    return curve_plot(group, group.curves[0], "loss")


def test_a_plot_names_both_runs_and_their_first_divergence(loss: Plot) -> None:
    """The legend has the two loops and the step; a second panel the difference."""
    found = words(loss)
    assert {"plain", "trainer", "first divergence, step 3", "step"} <= set(found)
    assert "difference to the reference" in found
    assert "differs from plain at 4 of 6 steps, first at step 3" in loss.description


def test_a_plot_is_drawn_for_a_desktop_and_for_a_phone(loss: Plot) -> None:
    """The same lines and words in two widths."""
    widths = [re.search(r'viewBox="0 0 (\d+)', text) for text in (loss.wide, loss.narrow)]
    assert ["960", "360"] == [found and found[1] for found in widths]
    for text in ("plain", "trainer", "difference to the reference"):
        assert text in loss.narrow


def test_three_loops_are_in_one_plot(tmp_path: Path) -> None:
    """One plot for each quantity: both candidates with their own difference to the reference."""
    report = pair_report(tmp_path)
    same = differing(("plain", "again"), 3).model_copy(
        update={"outcome": "identical", "first_divergence": None}
    )
    again = report.runs[0].model_copy(update={"loop": "again"})
    pairs = (*report.comparisons, same, differing(("trainer", "again"), 3))
    three = report.model_copy(update={"comparisons": pairs, "runs": (*report.runs, again)})
    (group,) = read_curves(three, tmp_path).groups
    plot = curve_plot(group, group.curves[0], "loss")
    assert {"plain", "trainer", "again"} <= set(words(plot))
    assert "trainer from 0.8438 to 0.4688: differs from plain at 4 of 6" in plot.description
    assert "again from 0.8438 to 0.2188: no difference at any of 6" in plot.description


def test_a_pair_without_difference_is_labelled(tmp_path: Path) -> None:
    """The same learning rates: a line at zero, and the words."""
    (group,) = read_curves(pair_report(tmp_path), tmp_path).groups
    assert "no difference at any step" in words(curve_plot(group, group.curves[1], "rate"))
    assert "no difference at any step" not in words(curve_plot(group, group.curves[0], "loss"))


def test_the_same_numbers_are_the_same_file(tmp_path: Path) -> None:
    """Twice drawn is equal byte for byte, with no date; other numbers, for control, are not."""
    bars = [Bar("plain", 2.0**30)]
    one, two = (memory_plot("memory", "memory", bars) for _ in range(2))

    assert one == two
    assert one.wide != memory_plot("memory", "memory", [Bar("plan", 2.0**30)]).wide
    assert not re.search(r"metadata|\b20\d\d-|DejaVu", one.wide + one.narrow)


def test_a_file_has_its_own_colours_and_a_page_its_own(loss: Plot) -> None:
    """The file has colours of its own; on the page each is the page's, and names are its own."""
    inline = for_page(loss.wide, "loss-1")

    assert "var(" not in loss.wide
    assert COLOURS["one"] in loss.wide
    assert not any(colour in inline for colour in COLOURS.values())
    assert "var(--plot-one)" in inline
    names = re.findall(r'\bid="([^"]+)"', inline)
    assert names
    assert all(name.startswith("loss-1-") for name in names)
    used = re.findall(r'(?:href="|url\()#([^")]+)', inline)
    assert set(used) <= set(names)
    assert 'role="img" aria-labelledby="loss-1-title loss-1-desc"' in inline


def test_each_colour_is_one_that_can_be_found_again() -> None:
    """A colour is exchanged by its value, so no two names have the same."""
    assert len(COLOURS) == len(set(COLOURS.values()))


def test_what_others_wrote_is_text(tmp_path: Path) -> None:
    """Markup, formulas and control characters in names are shown; none is obeyed."""
    (group,) = read_curves(pair_report(tmp_path, (HOSTILE, "plain")), tmp_path).groups
    plot = curve_plot(group, group.curves[0], "loss")
    root = ElementTree.fromstring(plot.wide)  # noqa: S314  # drawn here

    assert label(HOSTILE) in words(plot)
    assert "\\x00" in plot.description or "\\x00" in plot.wide
    assert "\x00" not in plot.wide
    assert {"script", "img"} & {element.tag.removeprefix(SVG) for element in root.iter()} == set()
    assert r"$\alpha$" in words(memory_plot("m", "m", [Bar(r"$\alpha$", 1.0)]))


def test_settings_of_others_are_put_back() -> None:
    """A notebook that draws by itself finds matplotlib as it was, also where drawing fails."""
    before = dict(mpl.rcParams)

    def fail() -> None:
        with drawing():
            assert before != dict(mpl.rcParams)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert before == dict(mpl.rcParams)


def test_a_forest_shows_intervals_the_margin_and_the_control() -> None:
    """Each line is labelled; the description has the figures."""
    ratios = [Ratio("a against b", 1.05, (1.03, 1.07), "slower")]
    plot = forest_plot("f", "ratio", [*ratios, Ratio("b itself", 1, (0.99, 1.01), "control")], 0.02)
    assert {"a against b: slower", "b itself: control"} <= set(words(plot))
    assert "a against b 1.0500 (1.0300 to 1.0700), slower" in plot.description
    assert "Between 0.980 and 1.020 a difference is negligible" in plot.description


def test_rounds_describe_each_arm() -> None:
    """Median and range of an arm in the description, in its unit, by hand."""

    values = np.array([0.1, 0.2, np.nan, 0.3])
    plot = rounds_plot("r", "rounds", "own time", [("plain", values)], [1, 3])
    assert "plain: median 200 ms, from 100 ms to 300 ms" in plot.description


def points_of(path: str) -> list[tuple[int, int]]:
    """The points of a path of straight lines, in tenths of a pixel."""
    points: list[tuple[int, int]] = []
    for command, text in re.findall(r"([MLl])([^MLl]*)", path):
        numbers = [round(10 * float(number)) for number in re.findall(r"-?[\d.]+", text)]
        for x, y in zip(numbers[::2], numbers[1::2], strict=True):
            before = points[-1] if command == "l" else (0, 0)
            points.append((x + before[0], y + before[1]))
    return points


@pytest.mark.parametrize("path", ["M 5 5", "M 0.5 -3 L 0.4 -3 M -1 2 L 1 2 L 11.5 2 L 11 0"])
def test_relative_points_are_the_same_points(path: str) -> None:
    """A path is written shorter; no point moves by a tenth of a pixel."""
    assert points_of(path) == points_of(_relative(path))


def test_a_long_line_is_written_shorter() -> None:
    """A thousand random points: the same ones, in less than three quarters of the letters."""
    rng = np.random.default_rng(0)
    numbers = np.round(np.cumsum(rng.normal(0, 5, (1000, 2)), axis=0), 1)
    path = "M " + " L ".join(f"{x:g} {y:g}" for x, y in numbers)
    assert points_of(path) == points_of(_relative(path))
    assert len(_relative(path)) < 0.75 * len(path)
