"""Every command in README.md and docs/ is executed, on small sizes; the others are parsed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click
import pytest
import typer

from docs.generate import with_files
from harness.cli import main as cli
from tests.docs.blocks import EXECUTED, ROOT, SHOWN, Block, Command, blocks_of
from tests.docs.small import Runner, parse

EXPECTED_NOT_RUN = 18
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = {
    block.place: block.not_run_because
    for page in PAGES
    for block in blocks_of(page)
    if block.not_run_because
}


@pytest.fixture
def runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Runner]:
    """Runs blocks in a folder that holds only the package and the examples of this checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("examples", "harness"):
        (tmp_path / name).symlink_to(ROOT / name)
    before = signal.getsignal(signal.SIGTERM)
    yield Runner(monkeypatch, capsys)
    signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run_in_order(page: Path, runner: Runner) -> None:
    """Each page is executed from its first block to its last, in a folder of its own."""
    for block in blocks_of(page):
        if (block.language in EXECUTED or block.is_printed) and not block.not_run_because:
            runner.run(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_can_be_parsed(page: Path) -> None:
    """So is what cannot be executed here: its options exist."""
    for block in blocks_of(page):
        assert block.language in (*EXECUTED, *SHOWN), f"{block.place}: a block names its language"
        if block.language == "bash":
            for command in block.commands():
                parse(command, block.place)


def test_the_example_of_each_command_can_be_parsed() -> None:
    """`harness COMMAND --help` shows examples that work."""
    commands = cast(click.Group, typer.main.get_command(cli.app)).commands
    for name, command in commands.items():
        examples = re.findall(r"Example: (.+)", command.help or "")
        assert examples, name
        for example in examples:
            assert example.startswith(f"harness {name}")
            parse(Command(example, frozenset({0})), f"harness {name} --help")


def test_what_is_not_run_is_counted() -> None:
    """A new exception is a decision: it has a reason and changes this number."""
    assert all(len(reason.split()) >= 2 for reason in NOT_RUN.values())
    assert EXPECTED_NOT_RUN == len(NOT_RUN), "\n".join(f"{p}: {r}" for p, r in NOT_RUN.items())


def test_a_block_equals_the_file_that_it_shows() -> None:
    """The README and the guide show the minimal loop as it is; `python -m docs.generate` helps."""
    if os.environ.get("HARNESS_UPDATE_GOLDEN") == "1":
        for page in PAGES:
            page.write_text(with_files(page), encoding="utf-8")
    shown = [
        (block, path)
        for page in PAGES
        for block in blocks_of(page)
        if (path := block.whole_of) is not None
    ]
    for block, path in shown:
        assert path.read_text(encoding="utf-8") == block.text, f"{block.place}: not as {path.name}"
    minimal = [block.page.name for block, path in shown if path.name == "minimal.py"]
    assert ["README.md", "write-a-loop.md"] == minimal


BROKEN = """\
```bash
harness list --jsn
```
"""


def test_a_wrong_option_fails_when_it_is_parsed(tmp_path: Path) -> None:
    """Control."""
    (block,) = blocks_of(page_in(tmp_path, BROKEN))
    with pytest.raises(AssertionError, match="No such option"):
        parse(next(block.commands()), "page")


def test_a_wrong_option_fails_when_it_is_run(tmp_path: Path, runner: Runner) -> None:
    """Control."""
    block = block_in(tmp_path, BROKEN)
    with pytest.raises(AssertionError, match="exit code 2"):
        runner.run(block)


def test_another_exit_code_fails(tmp_path: Path, runner: Runner) -> None:
    """Control: a page that promises exit code 1 for a command that succeeds is wrong."""
    block = block_in(tmp_path, "```bash\nharness list  # exit code 1: it never is\n```\n")
    with pytest.raises(AssertionError, match="exit code 0"):
        runner.run(block)


def test_other_output_fails(tmp_path: Path, runner: Runner) -> None:
    """Control: a page that shows a line which is not printed is wrong."""
    text = "```bash\nharness list\n```\n\nIt prints:\n\n```text\nno such line\n```\n"
    listing, printed = (
        Block(ROOT / "page.md", each.line, each.language, each.text, each.before)
        for each in blocks_of(page_in(tmp_path, text))
    )
    runner.run(listing)
    with pytest.raises(AssertionError, match="not printed: no such line"):
        runner.run(printed)


def page_in(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


def block_in(folder: Path, text: str) -> Block:
    """The only block of a page."""
    (block,) = blocks_of(page_in(folder, text))
    return Block(ROOT / "page.md", block.line, block.language, block.text, block.before)
