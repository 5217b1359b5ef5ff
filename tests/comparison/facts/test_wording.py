"""The words of a fact show what differs, and are true of values at the edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.comparison.facts.statement import against
from harness.report.text.summary import sentence
from tests.comparison.facts.spoiled import sound
from tests.support.records import STEPS, TENSORS, Draft, compare_drafts


def texts_of(folder: Path, reference: dict[str, Any], candidate: dict[str, Any]) -> dict[str, str]:
    """The facts of two runs with these settings, whose initial weights differ."""
    drafts = sound(), sound("my_loop.py")
    for made, settings in zip(drafts, (reference, candidate), strict=True):
        made.header["settings"] |= settings
    drafts[1].header["initial_weights"] = "00000000000000ff"
    for name in TENSORS:
        drafts[1].tensor(0, name)["weight"] ^= 1
    return {fact.id: fact.text for fact in compare_drafts(folder, *drafts).facts}


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ({"0.1": 5}, {"0.1": 3}, "dropout 0.1 in 3 modules against 0.1 in 5 modules"),
        ({"0.1": 5}, {"0.1": 1}, "dropout 0.1 in 1 module against 0.1 in 5 modules"),
        ({"0.1": 5}, {"0.3": 5}, "dropout 0.3 against 0.1"),
    ],
)
def test_equal_probabilities_differ_by_their_modules(
    one: dict[str, int], two: dict[str, int], expected: str, tmp_path: Path
) -> None:
    found = texts_of(tmp_path, {"model.dropout": one}, {"model.dropout": two})
    assert expected == found["dropout"]


def test_equal_eps_differ_by_their_layers(tmp_path: Path) -> None:
    found = texts_of(tmp_path, {"model.norm_eps": {"1e-05": 5}}, {"model.norm_eps": {"1e-05": 1}})
    expected = "eps of the norm layers 1e-05 in 1 layer against 1e-05 in 5 layers"
    assert expected == found["norm_eps"]


_DRAWN = 13155099264598123106, 10137650215463231871


@pytest.mark.parametrize(
    ("seeds", "seeded", "expected"),
    [
        (_DRAWN, (None, None), f"seed {_DRAWN[1]} against {_DRAWN[0]}"),
        ((1337, _DRAWN[1]), (True, False), "seed not set against 1337"),
        ((_DRAWN[0], 0), (False, True), "seed 0 against not set"),
        (
            _DRAWN,
            (False, False),
            "seed not set in either run, so torch drew each from the system",
        ),
    ],
)
def test_a_seed_is_a_whole_number_or_not_set(
    seeds: tuple[int, int], seeded: tuple[bool | None, bool | None], expected: str, tmp_path: Path
) -> None:
    one, two = (
        {"rng.seed": seed} | ({} if known is None else {"rng.seeded": known})
        for seed, known in zip(seeds, seeded, strict=True)
    )
    assert expected == texts_of(tmp_path, one, two)["seed"]


def test_whole_numbers_have_all_digits() -> None:
    assert "1000001 against 1000000" == against(1000001, 1000000)


def with_rates(rates: list[float]) -> Draft:
    made = sound()
    made.cut(len(rates))
    for row, rate in zip(made.rows["steps"], rates, strict=True):
        row["learning_rate"] = [rate]
    return made


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        (
            [1e-3, 3e-3, 3e-3, 3e-3, 3e-3, 3e-3],
            "rising from 0.001 to 0.003 at step 2, then constant",
        ),
        (
            [1e-3, 3e-3, 3e-3, 3e-3, 3e-3, 2.999991e-3],
            "rising from 0.001 to 0.003 at step 2, falling to 0.00299999 at step 6",
        ),
        (
            [2.999991e-3, 3e-3, 3e-3, 3e-3, 3e-3, 3e-3],
            "rising from 0.00299999 to 0.003 at step 2, then constant",
        ),
    ],
)
def test_a_schedule_never_rises_or_falls_to_the_same_rate(
    rates: list[float], expected: str, tmp_path: Path
) -> None:
    found = compare_drafts(tmp_path, with_rates([2e-3] * STEPS), with_rates(rates))
    schedule = next(fact.text for fact in found.facts if fact.id == "schedule")
    assert f"learning-rate schedule {expected}, against constant at 0.002" == schedule


def test_a_schedule_names_the_updates_of_runs_of_other_lengths(tmp_path: Path) -> None:
    falling = [4e-3 * (1 - step / 20) ** 2 for step in range(STEPS - 1)]
    shorter = compare_drafts(tmp_path / "a", with_rates([2e-3] * STEPS), with_rates(falling))
    equal = compare_drafts(tmp_path / "b", with_rates([2e-3] * (STEPS - 1)), with_rates(falling))
    assert f"; {STEPS - 1} updates against {STEPS}" in sentence(shorter)
    assert "updates against" not in sentence(equal)
