"""Runs of one model in several layouts have the same digests; faults of a layout are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.layout_scripts.faults import FAULTS, Fault
from studies.layout_scripts.worker import TRAIN
from studies.layouts import (
    LAYOUTS,
    Training,
    compared,
    found_at_its_place,
    made,
    of_fault,
    record_in,
    sent,
    sound_of,
)

STEPS = 4
_CHOSEN = {
    "fsdp2": ("shares at the wrong offset", "a share drifts", "reduce-scatter in bf16"),
    "tp": ("a replicated tensor drifts",),
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the training in one process."""
    trainings = [Training("alone", "alone", steps=STEPS)]
    return made(trainings, tmp_path_factory.mktemp("alone"))["alone"]


@pytest.mark.slow
@pytest.mark.parametrize("layout", _CHOSEN)
def test_shares_give_the_digests_of_one_process(layout: str, alone: Path, tmp_path: Path) -> None:
    """Of every tensor at every step, and the probe sends nothing. Planted faults differ."""
    faults = [
        fault
        for fault in FAULTS
        if fault.layout == layout and fault.name.partition(": ")[2] in _CHOSEN[layout]
    ]
    assert len(_CHOSEN[layout]) == len(faults)
    folders = made(
        [
            Training("sound", layout, steps=STEPS),
            Training("silent", layout, steps=STEPS, traced=False),
            *dict.fromkeys(map(sound_of, faults)),
            *map(of_fault, faults),
        ],
        tmp_path,
    )
    found = compared(alone, folders["sound"])
    assert "identical" == found.outcome, (found.first_divergence, found.doubts)
    record, reference = record_in(folders["sound"]), record_in(alone)
    assert record.header.in_shares
    assert reference.tensors.equals(record.tensors)
    assert 5 * (STEPS + 1) == len(record.tensors)
    assert sent(folders["silent"]) == sent(folders["sound"])
    for fault in faults:
        differs = compared(folders[sound_of(fault).name], folders[fault.name])
        assert found_at_its_place(fault, differs), (fault.name, differs.first_divergence)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_one_place_of_the_program(fault: Fault) -> None:
    """Its lines occur once, and what replaces them can be compiled."""
    text = TRAIN.read_text(encoding="utf-8")
    assert 1 == text.count(fault.old)
    assert fault.new != fault.old
    compile(text.replace(fault.old, fault.new), str(TRAIN), "exec")
    assert fault.layout in LAYOUTS
