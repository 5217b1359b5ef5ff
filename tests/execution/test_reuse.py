"""A complete record is used again only if nothing speaks against it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.execution.parent.reuse import is_done, left_to_make
from harness.execution.parent.runner import Run
from harness.results.folders import RECORDS, check_unused, output_folder
from harness.results.record import HEADER
from harness.spec.files import digests_of_files
from harness.version import __version__
from tests.support.records import draft, spec

LOOPS = ("plain", "trainer", "accelerated")


def stored(out: Path, *loops: str) -> list[Run]:
    """Three planned runs, of which those by `loops` are complete."""
    runs = [Run(spec(loop), out / RECORDS / f"tiny-{loop}") for loop in LOOPS]
    for run in runs:
        if run.spec.loop in loops:
            draft(run.spec.loop).write(run.folder)
    return runs


def test_what_is_complete_is_used_again(tmp_path: Path) -> None:
    """The others are left. One line says both."""
    runs = stored(tmp_path, "plain", "trainer")
    left = left_to_make(tmp_path, runs)
    assert [runs[2]] == left.waiting
    expected = f"Continues in {tmp_path}: 2 complete runs used again, 1 run left"
    assert expected == left.line(tmp_path)


def cut(path: Path) -> None:
    """Half of a file, as a power loss leaves it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    """One bit of a file changed."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a header that is cut off": (HEADER, cut, ""),
    "no header": (HEADER, Path.unlink, ""),
    "an empty header": (HEADER, lambda path: path.write_text(""), ""),
    "a trace that is cut off": ("steps.parquet", cut, "1 damaged record made again"),
    "a trace with another bit": ("tensors.parquet", flipped, "1 damaged record made again"),
    "no trace": ("micro_batches.parquet", Path.unlink, "1 damaged record made again"),
}


@pytest.mark.parametrize(("file", "fault", "said"), FAULTS.values(), ids=FAULTS)
def test_a_damaged_record_is_made_again(
    file: str, fault: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    runs = stored(tmp_path, *LOOPS)
    assert [] == left_to_make(tmp_path, runs).waiting
    fault(runs[1].folder / file)
    left = left_to_make(tmp_path, runs)
    assert [runs[1]] == left.waiting
    assert left.line(tmp_path).endswith(said)


@pytest.mark.parametrize("status", ["failed", "interrupted", "not run"])
def test_a_run_that_did_not_complete_is_made_again(status: str, tmp_path: Path) -> None:
    runs = stored(tmp_path, "plain", "trainer")
    draft("accelerated", status=status).write(runs[2].folder)
    assert [runs[2]] == left_to_make(tmp_path, runs).waiting


@pytest.mark.parametrize("status", ["completed", "failed", "interrupted"])
def test_other_settings_are_refused(status: str, tmp_path: Path) -> None:
    """The line names the setting, both values and the remedy; nothing is removed."""
    runs = stored(tmp_path, "plain")
    recipe = spec().recipe.model_copy(update={"learning_rate": 0.5})
    draft(status=status, spec=spec(recipe=recipe)).write(runs[0].folder)
    with pytest.raises(SpecError, match=r"recipe\.learning_rate is 0\.5 .* new output folder"):
        left_to_make(tmp_path, runs)
    assert (runs[0].folder / HEADER).is_file()


@pytest.mark.parametrize("name", ["other-plain", "tiny-plain-2"])
def test_the_runs_of_another_command_are_refused(name: str, tmp_path: Path) -> None:
    """Complete or not, a run that this command does not make belongs to another one. Replays that
    localize a difference do not."""
    runs = stored(tmp_path, "plain")
    (tmp_path / RECORDS / "tiny-plain-localized-3").mkdir()
    assert 2 == len(left_to_make(tmp_path, runs).waiting)
    (tmp_path / RECORDS / name).mkdir()
    with pytest.raises(SpecError, match=rf"no run of another command \(met .*{name}\): choose"):
        left_to_make(tmp_path, runs)


def test_other_libraries_are_refused(tmp_path: Path) -> None:
    """Also another version of the harness, and a library that is gone. The same ones are not."""
    runs = stored(tmp_path)
    here = {"versions": {"numpy": metadata.version("numpy")}, "harness": __version__}
    draft(environment=here).write(runs[0].folder)
    assert is_done(runs[0])
    for environment, words in (
        ({"versions": {"numpy": "0.9"}}, r"began, numpy 0\.9 \(met numpy "),
        ({"versions": {"no-such-package": "1"}}, r"\(met no-such-package absent\)"),
        ({"harness": "0.0.1"}, rf"began, harness 0\.0\.1 \(met harness {__version__}\)"),
    ):
        draft(environment=environment).write(runs[0].folder)
        with pytest.raises(SpecError, match=words):
            is_done(runs[0])
    elsewhere = Run(runs[0].spec, runs[0].folder, python="/another/python")
    assert is_done(elsewhere)  # that interpreter has libraries of its own


def test_a_run_by_a_loop_that_was_edited_is_made_again(tmp_path: Path) -> None:
    """The same holds for the file of a task, and for a record that knows no digest."""
    loop, task = tmp_path / "mine.py", tmp_path / "task.py"
    for path in (loop, task):
        path.write_text("one = 1\n")
    case = spec().case.model_copy(update={"workload": str(task)})
    mine = spec().model_copy(update={"loop": str(loop), "case": case})
    run = Run(mine, tmp_path / RECORDS / "tiny-mine")
    digests = digests_of_files(run.spec)
    assert {str(loop), str(task)} == digests.keys()
    draft(spec=run.spec, environment={"files": digests}).write(run.folder)
    assert is_done(run)
    for path in (loop, task):
        path.write_text("one = 2\n")
        assert not is_done(run)
        path.write_text("one = 1\n")
    draft(spec=run.spec, environment={}).write(run.folder)
    left = left_to_make(tmp_path, [run])
    assert [run] == left.waiting
    assert left.line(tmp_path).endswith("1 run made again, since a file of yours has changed")


def test_one_command_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    """The second one is refused and removes nothing. The lock file of a killed one stops nobody."""
    out = tmp_path / "out"
    for again in (False, True):
        with output_folder(out, "case", again, resumable=True) as folder:
            (folder / RECORDS).mkdir(exist_ok=True)
            (folder / RECORDS / "kept").touch()
            with (
                pytest.raises(SpecError, match="one run at a time works in a folder"),
                output_folder(out, "case", True, resumable=True),
            ):
                pass
        assert [RECORDS] == [path.name for path in out.iterdir()]
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / ".lock").touch()
    check_unused(tmp_path / "killed")
    with output_folder(tmp_path / "killed", "case", resumable=True) as folder:
        (folder / RECORDS).mkdir()
