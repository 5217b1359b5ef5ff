"""Each planted fault is found where it starts and called by its name, and none is known before."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.results.comparison import Comparison
from tests.faults.fault import Fault
from tests.faults.mutations import path_of
from tests.faults.planted import FAULTS
from tests.faults.planted_known import COURSE, EVALUATED, TWO
from tests.faults.planted_known_later import FOUR_FIVES
from tests.faults.runs import find

# In one process each and against one reference, so they take half a minute; the benchmark
# `benchmarks/test_detection.py` makes them all.
FEW = {fault.name: fault for fault in FAULTS if fault.ground is COURSE}


def test_no_two_faults_share_a_name_and_each_says_what_is_wrong() -> None:
    """The table is whole: a loop for each row, and a line that tells a reader about it."""
    assert len(FAULTS) == len({fault.name for fault in FAULTS})
    for fault in FAULTS:
        assert fault.what, fault.name
        for loop in (fault.loop, fault.ground.reference or fault.loop):
            harness_own = loop in ("plain", "accelerated", "trainer")
            assert harness_own != Path(path_of(loop)).is_file()


def test_the_harness_does_not_know_what_is_planted() -> None:
    """No file of the package names the folders of the loops, or the tables of faults."""
    folder = Path(harness.__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for word in ("sound_loops", "planted", "tests.faults"):
            assert word not in text, path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Comparison]:
    """What the harness says of each of the few."""
    return find(list(FEW.values()), tmp_path_factory.mktemp("faults"))


@pytest.mark.slow
def test_the_loop_by_hand_has_no_fault(tmp_path: Path) -> None:
    """The control: what the later faults are planted in is bit for bit as the reference."""
    by_hand = [
        Fault("by_hand", ground, 0, "", None) for ground in (COURSE, FOUR_FIVES, EVALUATED, TWO)
    ]
    found = find(by_hand, tmp_path)
    assert {"identical"} == {comparison.outcome for comparison in found.values()}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_a_fault_is_found_where_it_starts(name: str, found: dict[str, Comparison]) -> None:
    """Its first divergence has the step and stage that follow from what the loop does."""
    fault, first = FEW[name], found[name].first_divergence
    assert first is not None, found[name].doubts
    assert (fault.step, fault.stage) == (first.step, first.stage)


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_a_fault_is_called_by_its_name(name: str, found: dict[str, Comparison]) -> None:
    """By that alone; and what no row of the table explains is called by none."""
    assert sorted(FEW[name].causes) == sorted(cause.id for cause in found[name].causes)
