"""Every study starts, says what it measures, and finds the files that it uses."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

from studies import bench_power, check_power, rank_endings, trace_cost
from studies.noise_loops import plan
from tests.faults.mutations import path_of

STUDIES = Path(__file__).parents[2] / "studies"
HELPER = "study"
NAMES = sorted(path.stem for path in STUDIES.glob("*.py") if path.stem != HELPER)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m studies.NAME --help` ends with exit code 0 and shows the option for the folder."""
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(STUDIES / f"{name}.py"), run_name="__main__")
    assert ended.value.code in (0, None)
    assert "--out" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_the_head_of_a_study_names_its_command_and_its_published_result(name: str) -> None:
    """The command is the file's own, and the published folder exists."""
    head = ast.get_docstring(ast.parse((STUDIES / f"{name}.py").read_text(encoding="utf-8"))) or ""
    assert f"python -m studies.{name}" in head
    _, _, rest = head.partition("reports/published/")
    folder = rest.partition("`")[0].strip("/")
    assert folder
    assert (STUDIES.parent / "reports" / "published" / folder).is_dir()


def test_the_files_that_studies_use_exist() -> None:
    """Loops and scripts are found by paths, which a move of a file breaks."""
    faults = [fault for _, faults in plan.FAULTS.values() for fault in faults.values()]
    used = [
        plan.PLAIN,
        trace_cost._SCRIPT,
        check_power.LOOPS / "first.py",
        check_power.LOOPS / "second.py",
        *(bench_power.LOOPS / f"{name}.py" for name in bench_power.SLOWED),
        *(Path(path_of(f"rank_1_{ending}")) for ending in rank_endings.ENDINGS),
        *(plan.HERE / f"{fault}.py" for fault in faults if isinstance(fault, str)),
    ]
    assert [] == [path for path in used if not path.is_file()]
