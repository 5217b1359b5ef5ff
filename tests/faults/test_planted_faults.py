"""Planted faults are found at their step and stage, with their cause and no other cause."""

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

# All in a single process, and all but one compared with the same reference run. All faults are
# trained by `python -m studies.detection`.
FEW = {
    fault.name: fault
    for fault in FAULTS
    if fault.ground is COURSE or fault.loop == "eager_attention"
}


def test_no_two_faults_share_a_name_and_each_says_what_is_wrong() -> None:
    """Each row of the table has a loop that exists, and a line of text about it."""
    assert len(FAULTS) == len({fault.name for fault in FAULTS})
    for fault in FAULTS:
        assert fault.what, fault.name
        for loop in (fault.loop, fault.ground.reference or fault.loop):
            harness_own = loop in ("plain", "accelerated", "trainer")
            assert harness_own != Path(path_of(loop)).is_file()


def test_the_harness_does_not_know_what_is_planted() -> None:
    """No file of the package names the planted faults or their loops."""
    folder = Path(harness.__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for word in ("sound_loops", "planted", "tests.faults"):
            assert word not in text, path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Comparison]:
    """The comparison of each of the few with its reference."""
    return find(list(FEW.values()), tmp_path_factory.mktemp("faults"))


@pytest.mark.slow
def test_the_loop_by_hand_has_no_fault(tmp_path: Path) -> None:
    """The control: the loop that carries many faults is identical to the reference without them."""
    by_hand = [
        Fault("by_hand", ground, 0, "", None) for ground in (COURSE, FOUR_FIVES, EVALUATED, TWO)
    ]
    found = find(by_hand, tmp_path)
    assert {"identical"} == {comparison.outcome for comparison in found.values()}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_a_fault_is_found_where_it_starts(name: str, found: dict[str, Comparison]) -> None:
    """Its first divergence has the expected step and stage."""
    fault, first = FEW[name], found[name].first_divergence
    assert first is not None, found[name].doubts
    assert (fault.step, fault.stage) == (first.step, first.stage)


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_the_cause_of_a_fault_is_named(name: str, found: dict[str, Comparison]) -> None:
    """No other cause is named, and none for a fault that the table does not explain."""
    assert sorted(FEW[name].causes) == sorted(cause.id for cause in found[name].causes)
