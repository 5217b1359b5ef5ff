"""The sentence on a speed: its advice depends on how long further sessions would take."""

from __future__ import annotations

import pytest

from harness.report.text.speeds import sentence
from harness.results.comparison import Comparison, Finding
from tests.support.judged_reports import speed


@pytest.mark.parametrize(
    ("needed", "needed_s", "advice"),
    [
        (40, 600.0, "about 10 min 0 s of sessions would be needed"),
        (4000, 126_480.0, "use an idle machine, longer steps or more rounds"),
        (None, None, "too close to the margin for any number of sessions"),
    ],
)
def test_an_inconclusive_speed_names_what_would_help(
    needed: int | None, needed_s: float | None, advice: str
) -> None:
    """Nobody is advised to bench for days; a conclusive speed has no advice."""
    finding = Finding(
        metric="own_step_s",
        unit="s",
        outcome="inconclusive",
        reference=0.1,
        candidate=0.1,
        ratio=1.01,
        interval=(0.98, 1.04),
        confidence=0.95,
        smallest_visible=1.06,
        needed=needed,
        needed_s=needed_s,
    )
    pair = Comparison(
        case="tiny",
        reference="plain",
        candidate="trainer",
        outcome="inconclusive",
        equality="identical",
        steps=100,
        findings=(finding,),
    )
    assert advice in sentence(pair)
    sure = finding.model_copy(update={"outcome": "slower"})
    assert advice not in sentence(pair.model_copy(update={"findings": (sure,)}))


@pytest.mark.parametrize(
    ("interval", "advised"),
    [
        ((1.60, 1.82), False),
        ((0.69, 0.75), False),
        ((0.99, 1.01), False),
        ((1.01, 1.04), True),
        ((0.97, 1.01), True),
    ],
)
def test_a_clear_interval_is_not_called_close_to_the_margin(
    interval: tuple[float, float], advised: bool
) -> None:
    """A speed that only a poor control leaves without a verdict needs no sessions."""
    pair = speed("trainer", "inconclusive", 1.0, interval)
    finding = pair.findings[0].model_copy(update={"needed": None, "needed_s": None})
    found = sentence(pair.model_copy(update={"findings": (finding,)}))
    assert advised == ("too close to the margin" in found)


@pytest.mark.parametrize(
    ("outcome", "ratio", "expected"),
    [
        ("inconclusive", 0.947, "inconclusive, -5.3% time per step (faster, if that is more than"),
        ("inconclusive", 1.053, "inconclusive, +5.3% time per step (slower, if that is more than"),
        ("inconclusive", 1.0, "inconclusive, +0.0% time per step ["),
        ("faster", 0.9, "faster, -10.0% time per step ["),
    ],
)
def test_a_signed_percent_is_said_in_words(outcome: str, ratio: float, expected: str) -> None:
    """What is detectable is given for both directions."""
    text = sentence(speed("mine", outcome, ratio, (ratio * 0.95, ratio * 1.05)))
    assert expected in text
    assert "smallest detectable difference +3.5% (slower) or -3.4% (faster)" in text
