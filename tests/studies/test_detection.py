"""The published score of `studies/detection.py` is complete, current and good enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studies.detection import SCORE, expected_of, shortfalls
from tests.faults.planted import FAULTS

PUBLISHED = Path(__file__).parents[2] / "reports" / "published" / "detection" / SCORE


@pytest.fixture(scope="module")
def score() -> dict[str, Any]:
    """The published score, made by `python -m studies.detection`."""
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_it_covers_every_fault_as_the_table_has_it(score: dict[str, Any]) -> None:
    """No fault is missing, and none has changed since."""
    expected = {fault.name: expected_of(fault) for fault in FAULTS}
    assert expected == {row["name"]: row["expected"] for row in score["faults"]}


def test_it_has_not_fallen(score: dict[str, Any]) -> None:
    """Its rows add up to its totals, and these meet every rule."""
    rows, totals = score["faults"], score["totals"]
    for name in ("found", "placed"):
        assert totals[name] == sum(row[name] for row in rows)
    known = [row for row in rows if row["expected"]["cause"] is not None]
    named = [
        row
        for row in known
        if sorted(row["seen"]["causes"])
        == sorted([row["expected"]["cause"], *row["expected"].get("also", ())])
    ]
    assert totals["named"] == len(named)
    others = [row for row in rows if row["expected"]["cause"] is None]
    assert totals["false_names_outside"] == sum(len(row["seen"]["causes"]) for row in others)
    assert [] == shortfalls(score)


def test_a_lower_score_falls_short(score: dict[str, Any]) -> None:
    """Control: one missed fault, one wrong cause or one alarm falls short."""
    for name, change in (("found", -1), ("placed", -1), ("false_names_outside", 1)):
        worse = {**score["totals"], name: score["totals"][name] + change}
        assert len(shortfalls({"totals": worse})) > len(shortfalls(score))
    worse = {**score["totals"], "false_alarms": score["totals"]["false_alarms"] + 1}
    assert shortfalls({"totals": worse})
