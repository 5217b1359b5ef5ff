"""Hostile records: no comparison raises, none is equal, and no text becomes markup."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison.compare import compare
from harness.report.render import render
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.results.report import Report
from studies import hostile_records
from studies.hostile.damages import MARKUP
from studies.hostile_records import AGREEING, examine, sound_record

COUNT = 300


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return sound_record(tmp_path_factory.mktemp("hostile") / "sound")


def test_three_hundred_hostile_records(sound: RunRecord, tmp_path: Path) -> None:
    """The first of the hundred thousand that the study examines."""
    results, wrong, pairs = set(), [], list[Comparison]()
    for number in range(COUNT):
        result, why, found = examine(sound, tmp_path / "hostile", number)
        results.add(result)
        wrong += [why] if why else []
        pairs += found[:1]
    assert [] == wrong
    assert {"refused", "incomparable", "different", "inconclusive"} <= results
    report = Report.of([("sound", sound)], pairs, tmp_path, ["harness", "compare"])
    for page in ("report.html", "report.md"):
        assert MARKUP not in render(report, page)


@pytest.mark.parametrize(("number", "outcome"), [(71889, "identical"), (72713, "inconclusive")])
def test_records_that_were_called_equal(
    number: int, outcome: str, sound: RunRecord, tmp_path: Path
) -> None:
    """Rows that are turned round twice are no damage; parameters that no tensor has are one."""
    assert (outcome, "") == examine(sound, tmp_path / "hostile", number)[:2]


def test_a_damage_that_is_not_noticed_would_be_reported(
    sound: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a comparison that calls everything identical, and one that raises."""
    noticed = next(
        number
        for number in range(COUNT)
        if examine(sound, tmp_path / "hostile", number)[0] == "different"
    )

    def blind(one: RunRecord, two: RunRecord, labels: tuple[str, str]) -> Comparison:
        return compare(one, two, labels).model_copy(update={"outcome": AGREEING[0]})

    def broken(*_: object) -> Comparison:
        raise KeyError("step")

    monkeypatch.setattr(hostile_records, "compare", blind)
    assert "equal" == examine(sound, tmp_path / "hostile", noticed)[0]
    monkeypatch.setattr(hostile_records, "compare", broken)
    assert "crash" == examine(sound, tmp_path / "hostile", noticed)[0]
