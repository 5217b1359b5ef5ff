"""The table of metrics, and margins."""

import pytest

from harness.errors import SpecError
from harness.results.metrics import METRICS, Margin, metric, parse_margins


def test_rows_are_found_by_their_own_name() -> None:
    """The table's keys are its rows' names, so a name means one thing."""
    assert list(METRICS) == [row.name for row in METRICS.values()]


def test_times_are_noisy_and_counts_exact() -> None:
    """A metric with seconds in its unit depends on the machine; no other does."""
    noisy = {row.name for row in METRICS.values() if row.assumption == "noisy"}

    assert {row.name for row in METRICS.values() if "s" in row.unit} == noisy
    assert {"steps", "samples", "accuracy", "f1"} <= METRICS.keys() - noisy


def test_each_metric_has_its_better_direction() -> None:
    """Scores rise, losses and times fall, counts do neither."""
    better = {name: METRICS[name].better for name in ("accuracy", "loss", "wall_s", "steps")}

    assert {
        "accuracy": "higher",
        "loss": "lower",
        "wall_s": "lower",
        "steps": "neither",
    } == better


def test_an_unknown_metric_is_exact() -> None:
    """An unknown metric has its name for a title and no direction."""
    found = metric("matthews")

    assert ("matthews", "neither", "exact") == (found.title, found.better, found.assumption)
    assert metric("f1") is METRICS["f1"]


def test_margins_are_read_from_numbers_and_shares() -> None:
    """A number in the metric's unit, or a share of the reference's mean."""
    found = parse_margins({"accuracy": 0.01, "perplexity": "5%"})
    assert {"accuracy": Margin(0.01), "perplexity": Margin(0.05, True)} == found
    assert 0.01 == found["accuracy"].around(0.8)
    assert 0.2 == found["perplexity"].around(4.0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("acuracy", "0.1", "did you mean 'accuracy'"),
        ("steps", "1", "unknown metric"),
        ("accuracy", "0", "positive number"),
        ("accuracy", "-1%", "positive number"),
        ("accuracy", "nan", "positive number"),
        ("accuracy", float("inf"), "positive number"),
        ("accuracy", "much", "'much'"),
    ],
)
def test_an_invalid_margin_is_refused(name: str, value: float | str, message: str) -> None:
    """In one line, with the value met."""
    with pytest.raises(SpecError, match=message):
        parse_margins({name: value})
