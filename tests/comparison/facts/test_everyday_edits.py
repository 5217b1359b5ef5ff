"""Everyday edits of a user's own loop or script: one sentence with both values and both lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.report.text.causes import because, reasons
from harness.results.record import RunRecord
from tests.comparison.facts.everyday import (
    EDITS,
    LOOP,
    SCRIPT,
    Edit,
    compared,
    edited,
    line_of,
    run_loop,
    run_script,
)
from tests.support.commands import alone, traced, without_harness_lines

Run = Callable[[Path, str], RunRecord]
GROUNDS: dict[str, tuple[Run, str]] = {"loop": (run_loop, LOOP), "script": (run_script, SCRIPT)}


@pytest.fixture(scope="module", params=GROUNDS)
def ground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, str, RunRecord]:
    """How a program is run, its text, and the record of the program as it is."""
    run, program = GROUNDS[request.param]
    return run, program, run(tmp_path_factory.mktemp(request.param) / "reference", program)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_one_sentence_with_both_values_and_both_lines(
    name: str, ground: tuple[Run, str, RunRecord], tmp_path: Path
) -> None:
    """Only that setting explains, with its lines, and no cause is called unknown."""
    run, program, reference = ground
    edit = EDITS[name].in_script if program is SCRIPT else EDITS[name]
    found = compared(reference, run(tmp_path / "candidate", edited(program, edit)))

    assert "different" == found.outcome
    (fact,) = [each for each in found.facts if each.explains_first]
    assert (edit.fact, edit.text) == (fact.id, fact.text)
    places = fact.reference_site, fact.candidate_site
    line = line_of(program, edit.shows_at or edit.old)
    assert [str(line), str(line + 1)] == [place.rpartition(":")[2] for place in places]
    assert all(Path(place.rpartition(":")[0]).suffix == ".py" for place in places)
    assert because(found).startswith(f"{edit.text} ({fact.candidate_site} against ")
    assert f"Differs: {edit.text} (" in reasons(found)[0]
    assert not any("unknown" in line for line in (because(found), *reasons(found)))


def test_the_same_program_has_no_fact(ground: tuple[Run, str, RunRecord], tmp_path: Path) -> None:
    """The control: a comment above the program moves every line and changes nothing."""
    run, program, reference = ground
    moved = edited(program, Edit("", "import torch\n", "import torch\n", "", ""))
    found = compared(reference, run(tmp_path / "candidate", moved))
    assert (None, (), ()) == (found.first_divergence, found.facts, found.settings)
    sites = reference.header.sites
    assert {"optimizer", "loader", "backward", "clip", "dropout 0.1"} <= {*sites}


@pytest.mark.slow
def test_an_edit_of_a_traced_command_is_told_with_both_lines(tmp_path: Path) -> None:
    """The command itself is unchanged: it prints the same, and fails with the same traceback."""
    edit = EDITS["clip"].in_script
    ending = "print(float(loss))\nnn.Dropout(7)\n"
    records = []
    for name, program in (("reference", SCRIPT), ("candidate", edited(SCRIPT, edit))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "train.py").write_text(program + ending, encoding="utf-8")
        words = [sys.executable, "train.py"]
        done, found = traced(words, folder)
        expected = alone(words, folder)
        printed = done.stdout, without_harness_lines(done.stderr)
        assert (expected.stdout, expected.stderr) == printed
        records += found
    (fact,) = [each for each in compared(*records).facts if each.explains_first]
    line = line_of(SCRIPT, edit.old)
    assert edit.text == fact.text
    assert (f"train.py:{line}", f"train.py:{line + 1}") == (
        fact.reference_site,
        fact.candidate_site,
    )
