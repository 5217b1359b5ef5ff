"""Text from outside, made safe to show: no character in it controls a page or a parser."""

from __future__ import annotations

import unicodedata
from typing import Any

__all__ = ["markdown_cell", "printable", "spreadsheet_cell"]

_KEPT = "\n\t"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CONTROL_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn")
"""Unicode's control, format (which turn the direction of text), surrogate, private and unassigned
characters: XML refuses some of them, and a reader is misled by others."""


def printable(text: str) -> str:
    """`text` with each control character written out, as \\x00; line ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def markdown_cell(text: Any) -> str:
    """Text for one cell of a Markdown table that is neither markup nor a link."""
    line = " ".join(printable(str(text)).split()).replace("|", "\\|").replace("<", "&lt;")
    return line.replace("](", "]\\(")


def spreadsheet_cell(value: Any) -> Any:
    """A value for a CSV file: all digits of a number, and no text that begins a formula."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value) if isinstance(value, float) else value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _shown(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _CONTROL_CATEGORIES:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
