"""Wrong use of the command line: one line, exit code 2, and nothing left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.results.record import RunRecord
from tests.support.answers import Ask, differ, pair
from tests.support.records import Draft, draft, spec, write_run_folder
from tests.support.wrong_uses import WRONG_USES


@pytest.mark.parametrize(
    ("arguments", "said"),
    WRONG_USES,
)
def test_wrong_use_gets_one_line_and_leaves_nothing(
    refused: Ask, arguments: list[str], said: str
) -> None:
    """The line has the value met and the nearest known name or the rule."""
    assert said.lower() in refused(*arguments).err.lower()


def test_a_folder_that_is_neither_record_nor_run_is_refused(refused: Ask, tmp_path: Path) -> None:
    """An existing folder without either header is named."""
    (tmp_path / "empty").mkdir()
    one, _ = pair(tmp_path)

    assert str(tmp_path / "empty") in refused("compare", one, tmp_path / "empty").err
    assert str(tmp_path / "empty") in refused("report", tmp_path / "empty").err


def test_an_output_folder_that_lost_a_record_is_refused(refused: Ask, tmp_path: Path) -> None:
    """A record that the report lists must be there."""
    write_run_folder(tmp_path / "old", {"plain": draft()})
    (tmp_path / "old/records/plain/record.json").unlink()

    assert "records/plain" in refused("compare", tmp_path / "old", tmp_path / "old").err


def test_a_used_output_folder_is_refused_and_untouched(refused: Ask, tmp_path: Path) -> None:
    """Nothing of somebody's is overwritten; an empty folder, for control, is taken."""
    used, empty = tmp_path / "used", tmp_path / "empty"
    used.mkdir()
    empty.mkdir()
    (used / "mine.txt").write_text("precious", encoding="utf-8")
    sides = pair(tmp_path)

    assert "new or empty folder" in refused("compare", *sides, "--out", used).err
    assert "new or empty folder" in refused("run", "--out", used).err
    assert ["mine.txt"] == [path.name for path in used.iterdir()]
    assert "precious" == (used / "mine.txt").read_text(encoding="utf-8")


def test_the_folder_of_a_run_is_refused_with_the_way_to_go_on(refused: Ask, tmp_path: Path) -> None:
    """`harness run` in a used folder names --resume; `compare`, which has no such option, not."""
    write_run_folder(tmp_path / "used", {"plain": draft()})
    used = ("--out", tmp_path / "used")
    assert "pass --resume to continue there" in refused("run", *used).err
    assert "--resume" not in refused("compare", *pair(tmp_path), *used).err


@pytest.mark.parametrize("inside", ["records", ".trace"])
def test_a_run_that_goes_on_is_no_missing_report(refused: Ask, tmp_path: Path, inside: str) -> None:
    """`compare` says that the run has not ended; of an empty folder, for control, it does not."""
    (tmp_path / "going" / inside).mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    one, _ = pair(tmp_path)
    assert (
        "only a run that has ended can be read" in refused("compare", one, tmp_path / "going").err
    )
    assert "has ended" not in refused("compare", one, tmp_path / "empty").err


def test_folders_of_other_cases_are_refused_in_one_line(
    ask: Ask, refused: Ask, tmp_path: Path
) -> None:
    """Both names are in the line; with one case in common, for control, they are compared."""

    def of_case(name: str) -> Draft:
        made = draft()
        case = made.header["spec"].case.model_copy(update={"name": name})
        made.header["spec"] = made.header["spec"].model_copy(update={"case": case})
        return made

    for folder, cases in (("one", "ab"), ("two", "cd"), ("three", "bc")):
        write_run_folder(tmp_path / folder, {f"plain {name}": of_case(name) for name in cases})
    found = refused("compare", tmp_path / "one", tmp_path / "two")
    assert "(met cases a, b and c, d): pass folders of the same" in found.err


def test_an_empty_output_folder_is_taken(ask: Ask, tmp_path: Path) -> None:
    """Control: a folder that exists and is empty is used."""
    Path("empty").mkdir()

    assert 0 == ask("compare", *pair(tmp_path), "--out", "empty").code


def test_an_output_folder_below_a_file_is_refused(refused: Ask, tmp_path: Path) -> None:
    """A folder that cannot be made is wrong use, told in one line."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    assert "file" in refused("compare", *pair(tmp_path), "--out", tmp_path / "file").err
    assert "file" in refused("compare", *pair(tmp_path), "--out", tmp_path / "file" / "in").err


def test_an_unknown_format_leaves_the_folder_as_it_was(ask: Ask, tmp_path: Path) -> None:
    """A format that is not known is refused before any other is written."""
    ask("compare", *pair(tmp_path), "--out", "out")
    Path("out/report.md").unlink()
    found = ask("report", "out", "--format", "md,htm")

    assert (2, 1) == (found.code, len(found.err.splitlines()))
    assert "did you mean 'html'?" in found.err
    assert not Path("out/report.md").exists()


def test_no_arguments_show_the_help(ask: Ask) -> None:
    """A door that is opened without a word says what it can do."""
    found = ask()

    assert "compare" in found.out + found.err
    assert (0, "") == ask("--help")[::2]


def test_the_module_compares_without_torch(tmp_path: Path) -> None:
    """`python -m harness compare` works in a process of its own where torch cannot be imported."""
    one, two = pair(tmp_path, differ)
    code = (
        "import runpy, sys; sys.modules['torch'] = None; sys.modules['pandas'] = None;"
        "runpy.run_module('harness', run_name='__main__', alter_sys=True)"
    )
    arguments = ["compare", str(one), str(two), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )

    assert (1, "") == (done.returncode, done.stderr)
    assert "The loops differ" in done.stdout
    assert RunRecord(one).spec == spec()


@pytest.mark.parametrize("content", ["a: [", "no mapping", "num_processes: 2"])
def test_a_broken_launcher_configuration_is_refused(
    refused: Ask, content: str, tmp_path: Path
) -> None:
    """What is no YAML, no mapping, or names no kind of launch is refused before work starts."""
    config = tmp_path / "launch.yaml"
    config.write_text(content, encoding="utf-8")
    options = ("--processes", "2", "--launcher", "accelerate", "--launcher-config", config)
    assert "configuration is" in refused("run", *options).err


def test_noise_takes_enough_draws(refused: Ask) -> None:
    """Of three draws the spread is hardly known; the least number is in the line."""
    assert "4" in refused("run", "--noise", 3).err


def test_compare_takes_noise_from_a_run_with_draws(refused: Ask, tmp_path: Path) -> None:
    """A folder without draws tells no noise, and the line says how to make one."""
    assert "--noise 8" in refused("compare", *pair(tmp_path), "--noise", tmp_path).err
