"""What others wrote cannot steer a page, a parser or a table."""

import pytest

from harness.report.escape import markdown_cell, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words\n\tand é, 漢, →", "plain words\n\tand é, 漢, →"),
        ("\x00\x1b[31m", "\\x00\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\ufffe\ud800", "\\ufffe\\ud800"),
        ("", ""),
    ],
)
def test_steering_characters_are_written_out(text: str, expected: str) -> None:
    """Line ends, tabs and letters of every script stay."""
    assert expected == printable(text)


def test_a_cell_is_one_line_without_markup_or_links() -> None:
    """No new cell, row, element, picture or link comes of a text."""
    found = markdown_cell("a|b\nc <img> ![x](http://example.org/x.png)")
    assert r"a\|b c &lt;img> ![x]\(http://example.org/x.png)" == found
