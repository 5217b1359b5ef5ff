"""Is what is planted found, where it starts, by its name, and nothing else? See `detection.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from studies.detection import detect, shortfalls, table, write


@pytest.mark.long
def test_what_is_planted_is_found_and_what_is_clean_is_not(
    tmp_path: Path, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """All faults at their step and stage, nine in ten by their name, and no false alarm."""
    score = detect(tmp_path)
    if folder := pytestconfig.getoption("--detection-out"):
        write(score, Path(folder))
    with capsys.disabled():
        Console().print(table(score))
    assert [] == shortfalls(score), score["totals"]
