"""The table of twins: each fault can be planted, and each program stands for somebody else's."""

import ast
from pathlib import Path

import pytest

from harness.results.divergence import STAGES
from tests.scripts.twins import PROGRAMS, SCRIPTS, Script, Twin, plant

TWINS = [(script, twin) for script in SCRIPTS for twin in script.twins]


@pytest.mark.parametrize(("script", "twin"), TWINS, ids=[twin.name for _, twin in TWINS])
def test_a_twin_differs_from_its_program_in_one_line_and_names_a_stage(
    script: Script, twin: Twin, tmp_path: Path
) -> None:
    planted = plant(twin, tmp_path / "twin") / twin.file

    lines = (PROGRAMS / twin.file).read_text(encoding="utf-8").splitlines()
    others = planted.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(others)
    assert 1 == sum(line != other for line, other in zip(lines, others, strict=True))
    if planted.suffix == ".py":
        ast.parse(planted.read_text(encoding="utf-8"))
    assert twin.stage in STAGES
    assert 0 <= twin.step <= script.updates


def test_a_line_that_does_not_occur_once_is_refused(tmp_path: Path) -> None:
    twin = TWINS[0][1]
    wrong = type(twin)("wrong", twin.file, "import", "", 1, "loss", "occurs often")

    with pytest.raises(ValueError, match="must occur once"):
        plant(wrong, tmp_path / "twin")


def test_every_program_is_in_the_table_and_names_are_unique() -> None:
    started = {word for script in SCRIPTS for word in script.command}
    files = {path for path in PROGRAMS.iterdir() if path.suffix in (".py", ".ipynb")}
    folders = {path for path in PROGRAMS.iterdir() if path.is_dir() and path.name[0] != "_"}

    assert {path.name for path in files} <= started
    assert {"from_shell", "siamese"} == {path.name for path in folders}
    assert len(SCRIPTS) == len({script.name for script in SCRIPTS})
    assert len(TWINS) == len({twin.name for _, twin in TWINS})


def test_no_program_knows_the_harness() -> None:
    sources = [path for path in PROGRAMS.rglob("*") if path.suffix in (".py", ".sh", ".ipynb")]

    assert len(SCRIPTS) <= len(sources)
    assert [] == [path.name for path in sources if "harness" in path.read_text(encoding="utf-8")]
