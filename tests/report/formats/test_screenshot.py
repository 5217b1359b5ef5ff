"""The picture of a report shows the sections that were asked for, and the verdict."""

from harness.report.formats.screenshot import picture
from tests.support.small_report import small_report


def words(svg: str) -> str:
    """The text of an SVG, whose spaces do not break."""
    return svg.replace("&#160;", " ")


def test_a_picture_shows_all_sections_without_a_choice() -> None:
    """The command comes first; all sections follow."""
    text = words(picture(small_report(), "harness run"))

    assert "harness run" in text
    assert "tiny: trainer against plain" in text
    assert "To reproduce" in text


def test_a_picture_shows_only_the_chosen_sections() -> None:
    """The verdict remains."""
    text = words(picture(small_report(), "harness run", sections=["Pairs"]))

    assert "tiny: trainer against plain" in text
    assert "To reproduce" not in text
    assert "The loops differ" in text
