"""The table of metrics."""

from harness.results.metrics import METRICS, metric


def test_rows_are_found_by_their_own_name() -> None:
    """The table's keys are its rows' names, so a name means one thing."""
    assert list(METRICS) == [row.name for row in METRICS.values()]


def test_times_are_noisy_and_counts_exact() -> None:
    """Whatever has seconds in its unit depends on the machine; nothing else does."""
    noisy = {row.name for row in METRICS.values() if row.assumption == "noisy"}

    assert {row.name for row in METRICS.values() if "s" in row.unit} == noisy
    assert {"steps", "samples", "accuracy", "f1"} <= METRICS.keys() - noisy


def test_which_way_is_better() -> None:
    """Scores rise, losses and times fall, counts do neither."""
    better = {name: METRICS[name].better for name in ("accuracy", "loss", "wall_s", "steps")}

    assert {
        "accuracy": "higher",
        "loss": "lower",
        "wall_s": "lower",
        "steps": "neither",
    } == better


def test_a_workloads_own_metric_is_taken_as_exact() -> None:
    """An unknown metric has its name for a title and no direction."""
    found = metric("matthews")

    assert ("matthews", "neither", "exact") == (found.title, found.better, found.assumption)
    assert metric("f1") is METRICS["f1"]
