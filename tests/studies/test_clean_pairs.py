"""The study of clean pairs counts alarms and names, and its published result is complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studies.clean.pair import Pair, examined
from studies.clean_pairs import LEAST, shortfalls, summary
from tests.support.records import Draft, command_draft

PUBLISHED = Path(__file__).parents[2] / "reports" / "published" / "clean-pairs" / "result.json"


def examine(folder: Path, one: Draft, two: Draft) -> dict[str, Any]:
    """What the study says of two records."""
    paths = folder / "one", folder / "two"
    one.write(paths[0])
    two.write(paths[1])
    return examined(Pair("test", "one and two", *paths))


def test_an_equal_pair_is_no_alarm_and_another_is_one(tmp_path: Path) -> None:
    """The second is the control: a pair that is not clean."""
    faulty = command_draft()
    faulty.step(2)["weights"] += 1
    rows = [
        examine(tmp_path / "equal", command_draft(), command_draft()),
        examine(tmp_path / "faulty", command_draft(), faulty),
    ]
    assert [("identical", False), ("different", True)] == [
        (row["outcome"], row["alarm"]) for row in rows
    ]
    made = summary(rows)
    assert (2, 1) == (made["pairs"], made["alarms"])
    assert rows[1:] == made["wrong"]


def test_a_name_of_an_identical_pair_is_counted() -> None:
    row = {"kind": "k", "outcome": "identical", "alarm": False, "names": ["x"]}
    assert 1 == summary([{**row, "not_shown": [], "facts": []}])["names"]


def test_the_published_result_has_every_kind_and_no_alarm() -> None:
    result = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert [] == shortfalls(result)
    assert result["pairs"] == sum(kind["pairs"] for kind in result["kinds"].values()) >= LEAST


@pytest.mark.parametrize(("field", "value"), [("pairs", LEAST - 1), ("alarms", 1), ("names", 1)])
def test_a_worse_result_falls_short(field: str, value: int) -> None:
    """Control."""
    result = {"pairs": LEAST, "alarms": 0, "names": 0}
    assert [] == shortfalls(result)
    assert 1 == len(shortfalls({**result, field: value}))
