"""The fenced blocks of a documentation page, with the words of the page that say what they are.

- "Save it as `my_loop.py`:" before a block: the block is written to that file.
- "This is the whole of [`minimal.py`](PATH):" before a block: the block must equal that file.
- "It prints, among other lines:" before a block: each line of it is in the output of the last
  command, whatever its line breaks.
- "# Not run by the tests: REASON" as the first line of a block: its commands are only parsed.
- "# exit code 1" after a command: the command must end with that code; several are joined by "or".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EXECUTED", "ROOT", "SHOWN", "Block", "Command", "blocks_of", "paragraphs_of"]

ROOT = Path(__file__).parents[2]
EXECUTED = ("bash", "python", "toml")
SHOWN = ("text", "json", "yaml")  # output and formats; tests/ci runs the workflows in YAML
_NOT_RUN = "# Not run by the tests: "
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT_CODE = re.compile(r"exit codes? (\d(?:(?:, | or )\d)*)")


@dataclass(frozen=True)
class Command:
    """One line of a bash block."""

    text: str
    exit_codes: frozenset[int]

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    before: str
    """The paragraph that stands before it."""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def not_run_because(self) -> str:
        """The reason that its first line states; empty: the tests run it."""
        first = self.text.partition("\n")[0]
        return first.removeprefix(_NOT_RUN) if first.startswith(_NOT_RUN) else ""

    @property
    def saved_as(self) -> str:
        """The file that it is written to, if the page says so."""
        found = re.search(r"[Ss]ave (?:it|this) as `([^`]+)`", self.before)
        return found.group(1) if found else ""

    @property
    def is_printed(self) -> bool:
        """Whether the page says that it is output of the last command."""
        return bool(re.search(r"\bprints\b[^.:]*:$", self.before))

    @property
    def whole_of(self) -> Path | None:
        """The file that it must equal, if the page says so."""
        found = re.search(r"the\s+whole\s+of\s+\[`[^`]+`\]\(([^)]+)\)", self.before)
        return (self.page.parent / found.group(1)).resolve() if found else None

    def commands(self) -> Iterator[Command]:
        """Its commands, without comments; a line that ends with a backslash goes on."""
        for line in self.text.replace("\\\n", " ").splitlines():
            text, _, comment = re.sub(r"(^|\s)#", "\0", line, count=1).partition("\0")
            if not text.strip():
                continue
            found = _EXIT_CODE.search(comment)
            codes = re.findall(r"\d", found.group(1)) if found else ["0"]
            yield Command(" ".join(text.split()), frozenset(map(int, codes)))


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()].rstrip().rpartition("\n\n")[2]
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match.group(1), match.group(2), before))
    return found


def paragraphs_of(page: Path) -> list[str]:
    """The paragraphs of prose and the items of lists: no heading, table, picture or block."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    items = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text)
    return [item.strip() for item in items if item.strip() and item.strip()[0] not in "#|!<"]
