"""A full disk: one line, exit code 3, no half file, and no page that claims a verdict."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report.write import DEFAULT_FORMATS, FORMATS, write
from tests.support.answers import Ask, pair
from tests.support.records import draft, write_run_folder
from tests.support.run_folders import pair_report

PAGES = {FORMATS[name] for name in DEFAULT_FORMATS}
LINE = "results need space on the disk"


class Disk:
    """Lets a number of files be written whole, and fails in the middle of the next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: int | None = None
        whole = Path.write_text

        def write_text(path: Path, text: str, *arguments: object, **names: object) -> int:
            if self.files is not None:
                if self.files == 0:
                    whole(path, text[: len(text) // 2], encoding="utf-8")
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
                self.files -= 1
            return whole(path, text, *arguments, **names)  # type: ignore[arg-type]  # as given

        monkeypatch.setattr(Path, "write_text", write_text)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def contents_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("files", range(8))
def test_a_report_is_whole_or_absent(ask: Ask, disk: Disk, tmp_path: Path, files: int) -> None:
    """At each of its eight files: `compare` ends with one line and leaves nothing."""
    sides = pair(tmp_path)
    disk.files = files
    found = ask("compare", *sides, "--out", "out")
    assert (3, "", 1) == (found.code, found.out, len(found.err.splitlines())), found.err
    assert LINE in found.err
    assert not Path("out").exists()


def test_with_enough_space_a_report_is_written(ask: Ask, disk: Disk, tmp_path: Path) -> None:
    """Control: eight files fit exactly."""
    sides = pair(tmp_path)
    disk.files = 8
    assert 0 == ask("compare", *sides, "--out", "out").code
    assert files_in(Path("out")) >= PAGES


@pytest.mark.parametrize("files", range(8))
def test_a_page_that_is_written_again_stays_as_it_was(
    ask: Ask, disk: Disk, tmp_path: Path, files: int
) -> None:
    """`report` in a folder with a report: each page is the old one, none is new beside old ones."""
    folder = tmp_path / "out"
    write(pair_report(folder), folder)
    for name in PAGES - {"report.json"}:
        (folder / name).write_text("as it was", encoding="utf-8")
    for plot in folder.glob("plots/*.svg"):
        plot.write_text("as it was", encoding="utf-8")
    before = contents_of(folder)
    disk.files = files
    found = ask("report", folder)
    assert (3, 1) == (found.code, len(found.err.splitlines())), found.err
    assert before == contents_of(folder)


@pytest.mark.parametrize("files", [1, 3, 7])
def test_the_first_pages_of_a_folder_leave_no_plot_without_a_page(
    ask: Ask, disk: Disk, tmp_path: Path, files: int
) -> None:
    """As after a run whose records filled the disk."""
    folder = tmp_path / "out"
    pair_report(folder).write_json(folder)
    before = contents_of(folder)
    disk.files = files
    assert 3 == ask("report", folder).code
    assert before == contents_of(folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ("publish", "run", "name"),
        ("index", "."),
        ("export", "run", "--to", "csv", "--out", "curves.csv"),
        ("init", "loop"),
        ("init", "case"),
    ],
    ids=" ".join,
)
def test_every_writer_says_it_in_one_line(
    ask: Ask, disk: Disk, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Exit code 3, no traceback, no new file."""
    report = write_run_folder(Path("run"), {"plain": draft()})
    write(report, Path("run"))
    before = files_in(Path())
    disk.files = 0
    found = ask(*arguments)
    assert (3, "", 1) == (found.code, found.out, len(found.err.splitlines())), found
    assert LINE in found.err
    assert before == files_in(Path())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where mounting is permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_worker_that_finds_no_space_says_so(small_disk: Path) -> None:
    """Two runs fill the disk: one line, no report, no trace without a header."""
    settings = [word for x in ("eval_rows=16", "max_steps=8") for word in ("--set", x)]
    command = [sys.executable, "-m", "harness", "run", "-q", "--loops", "plain,minimal", *settings]
    done = subprocess.run(
        [*command, "--out", str(small_disk / "out")], capture_output=True, text=True, timeout=300
    )
    assert (3, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines())), done.stderr
    assert LINE in done.stderr
    assert not PAGES & files_in(small_disk)
    for trace in small_disk.rglob("*.parquet"):
        assert (trace.parent / "record.json").is_file()
