"""Progress without a terminal: a line every ten seconds, for all runs together."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.execution.parent import progress
from harness.execution.parent.runner import Run
from harness.spec import registry


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """None before the first seconds are over, and none for events that come too soon."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    case = registry.cases()["paraphrase"]
    runs = [Run(registry.run_spec(case, name), Path(name)) for name in ("plain", "trainer")]
    output = io.StringIO()
    with progress.bars(runs, Console(file=output)) as show:
        for second, event in enumerate(["step", "step", "ended", "step", "step", "step", "step"]):
            now[0] = 4.0 * second
            number = 1 if second > 2 else 0
            show(number, {"event": event, "step": second + 1, "total": 9})
    assert [
        "paraphrase trainer: step 4 of 9, 1 of 2 runs ended",
        "paraphrase trainer: step 7 of 9, 1 of 2 runs ended",
    ] == output.getvalue().splitlines()
