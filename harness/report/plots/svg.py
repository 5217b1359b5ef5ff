"""A matplotlib figure -> SVG text that is the same on every machine and takes a page's colours.

Matplotlib is imported only to draw: its import takes longer than all the rest of a report.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from harness.report.escape import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "FONT_PX",
    "NARROW_PX",
    "WIDE_PX",
    "bare",
    "drawing",
    "figure",
    "for_page",
    "label",
    "margins",
    "svg",
]

WIDE_PX = 960
"""The width of a plot for a desktop, which shows it a little larger."""
NARROW_PX = 360
"""The width of a plot for a phone, which shows it in full size."""
FONT_PX = 11.5
_INCH_PX = 72  # matplotlib writes points, and a page reads them as its own units
_LONGEST = 30  # characters of a name in a plot
COLOURS = {
    "ink": "#1b1f24",
    "soft": "#59636e",
    "line": "#d1d9e1",
    "ground": "#fffffe",
    "band": "#e9eef4",
    "one": "#0062a3",
    "two": "#c24e00",
    "three": "#007a5a",
    "four": "#8a4d9e",
    "five": "#6b5b00",
    "mark": "#a40e26",
}
"""Colours of a separate file, on a light background; a page has its own, light and dark.
One to five are distinct for readers with red-green colour blindness, and by their dashes."""
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
    "font.size": FONT_PX,
    "text.color": COLOURS["ink"],
    "text.parse_math": False,
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["soft"],
    "axes.labelsize": FONT_PX,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.6,
    "figure.facecolor": COLOURS["ground"],
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["soft"],
    "ytick.labelcolor": COLOURS["soft"],
    "xtick.labelsize": FONT_PX,
    "ytick.labelsize": FONT_PX,
    "lines.solid_capstyle": "round",
    "path.simplify": False,
}
_NO_EFFECT = ("font-family", "stroke-dashoffset: 0")
"""Styles that are left out: fonts of this machine, and a default."""
_NAMESPACE = re.compile(r"\{[^}]*\}")
_NUMBER = re.compile(r"-?\d+\.\d+")
_STRAIGHT = re.compile(r"(M -?[\d.]+ -?[\d.]+ ?(L -?[\d.]+ -?[\d.]+ ?)*)+")
_REFERENCE = re.compile(r"#([\w.-]+)")


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib with the settings of all plots, which are restored at the end."""
    log = logging.getLogger("matplotlib")
    before = log.level
    log.setLevel(logging.ERROR)  # its font cache is of no interest here
    try:
        import matplotlib

        with matplotlib.rc_context(_SETTINGS):
            yield
    finally:
        log.setLevel(before)


def figure(width_px: float, height_px: float) -> Figure:
    """An empty figure, within `drawing`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_px / _INCH_PX, height_px / _INCH_PX))


def margins(
    drawn: Figure, left: float, right: float, top: float, bottom: float, gap: float = 0
) -> None:
    """Set the margins of a figure and the gap between its rows of axes, in pixels."""
    width, height = drawn.get_size_inches() * _INCH_PX
    rows = max(len(drawn.axes), 1)
    inner = (height - top - bottom - gap * (rows - 1)) / rows
    drawn.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        top=1 - top / height,
        bottom=bottom / height,
        hspace=gap / inner,
    )


def bare(axes: Axes) -> None:
    """Remove ticks, which would repeat the grid, and format numbers as elsewhere."""
    axes.tick_params(length=0)
    if axes.get_yscale() == "linear" and len(axes.get_yticks()) > 1:
        axes.yaxis.set_major_formatter(lambda value, _place: f"{value:g}")
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:g}")


def label(name: str, longest: int = _LONGEST) -> str:
    """A name from outside for a plot: on one line, and cut if it is long."""
    text = " ".join(printable(name).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def svg(drawn: Figure, title: str, description: str) -> str:
    """The figure as a separate SVG file, in light colours, with a title and a description.

    Only the drawing itself is kept of matplotlib's output: no date, no metadata, coordinates to a
    tenth of a pixel, text as text in the reader's own font.
    """
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314  # drawn here, a line above
    for element in root.iter():
        _tidy(element)
    for child in [*root.findall("metadata"), *root.findall("defs[style]")]:
        root.remove(child)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("xmlns:xlink", "http://www.w3.org/1999/xlink")
    root.set("font-family", "system-ui, sans-serif")
    root.set("stroke-linejoin", "round")
    for name, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(name)
        element.text = printable(text)
        root.insert(0, element)
    _keep_used_names(root)
    _drop_bare_groups(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def for_page(text: str, name: str) -> str:
    """An SVG made by `svg`, for use inside an HTML page.

    Its ids begin with `name`, its colours are the page's, and a screen reader finds one image with
    a title and a description.
    """
    root = ElementTree.fromstring(text)  # noqa: S314  # drawn here, by `svg`
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
        if "id" in element.attrib:
            element.set("id", f"{name}-{element.get('id')}")
        for key, value in list(element.attrib.items()):
            if key.endswith("href") or "url(#" in value:
                del element.attrib[key]
                element.set(_NAMESPACE.sub("", key), _REFERENCE.sub(rf"#{name}-\1", value))
        if "style" in element.attrib:
            element.set("style", _of_the_page(element.attrib["style"]))
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    root[0].set("id", f"{name}-title")
    root[1].set("id", f"{name}-desc")
    return ElementTree.tostring(root, encoding="unicode")


def _of_the_page(style: str) -> str:
    for name, colour in COLOURS.items():
        style = style.replace(colour, f"var(--plot-{name})")
    return style


def _tidy(element: ElementTree.Element) -> None:
    """Shorten numbers; remove namespaces and the fonts of this machine."""
    element.tag = _NAMESPACE.sub("", element.tag)
    for key, value in list(element.attrib.items()):
        if _NAMESPACE.match(key):
            del element.attrib[key]
            key = "xlink:href"
        if key == "style":
            parts = (part.strip() for part in value.split(";"))
            value = "; ".join(part for part in parts if not part.startswith(_NO_EFFECT))
        elif key in ("x", "y", "d", "transform", "width", "height") and element.tag != "svg":
            value = " ".join(_NUMBER.sub(_short, value).split())
            if key == "d" and _STRAIGHT.fullmatch(value):
                value = _relative(value)
        if key == "transform" and value.startswith("rotate(-0 "):
            del element.attrib[key]
        else:
            element.set(key, value)
    if element.text and not element.text.strip():
        element.text = None
    if element.tail and not element.tail.strip():
        element.tail = None


def _relative(path: str) -> str:
    """A path of straight lines, each point relative to the last one: exact, and a third shorter.

    Coordinates are whole tenths of a pixel, so their differences are exact.
    """
    words: list[str] = []
    x = y = 0
    last = ""
    for command, *point in (part.split() for part in re.findall(r"[ML][^ML]*", path)):
        to_x, to_y = (round(10 * float(number)) for number in point)
        if command == "M":
            words.append(f"M{_tenths(to_x)} {_tenths(to_y)}")
        else:
            letter = "l" if last == "M" else ""
            words.append(f"{letter}{_tenths(to_x - x)} {_tenths(to_y - y)}")
        x, y, last = to_x, to_y, command
    return re.sub(r" (?=[-Ml])", "", " ".join(words))


def _tenths(number: int) -> str:
    return re.sub(r"^(-?)0\.", r"\1.", f"{number / 10:g}")


def _short(found: re.Match[str]) -> str:
    return f"{float(found.group()):.1f}".removesuffix(".0")


def _keep_used_names(root: ElementTree.Element) -> None:
    """Remove the ids that nothing refers to; matplotlib gives one to every group."""
    values = (value for element in root.iter() for value in element.attrib.values() if "#" in value)
    used = {name for value in values for name in _REFERENCE.findall(value)}
    for element in root.iter():
        if element.attrib.get("id") not in used:
            element.attrib.pop("id", None)


def _drop_bare_groups(parent: ElementTree.Element) -> None:
    """Replace each group without attributes by what it holds; the order of drawing stays."""
    children: list[ElementTree.Element] = []
    for child in parent:
        _drop_bare_groups(child)
        bare_group = child.tag == "g" and not child.attrib
        children += list(child) if bare_group else [child]
    parent[:] = children
