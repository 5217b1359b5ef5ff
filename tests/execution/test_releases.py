"""Which releases there are, as pip tells it of a folder of the test's."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.execution.environments.releases import between, released
from tests.support.fake_packages import NAME, releases

__all__ = ["releases"]  # the fixture


def test_final_releases_are_in_the_order_of_their_numbers(releases: Path) -> None:
    """What is yanked or no final release is left out; what another Python needs is kept apart."""
    found = released(NAME)
    assert ("1.0", "1.1", "1.10") == found.fitting
    assert ("1.3",) == found.unfit


def test_a_package_that_pip_does_not_know_is_refused_in_a_line(releases: Path) -> None:
    """With pip's words."""
    with pytest.raises(SpecError, match="lists the releases of nosuchpackage") as caught:
        released("nosuchpackage")
    assert "\n" not in str(caught.value)


def test_the_span_is_of_released_versions_in_either_direction() -> None:
    """A downgrade is walked down."""
    versions = ("1.0", "1.1", "1.2", "1.10")
    assert ["1.1", "1.2", "1.10"] == between(versions, "1.1", "1.10")
    assert ["1.2", "1.1"] == between(versions, "1.2", "1.1.0")


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("1.0", "1.5", "unknown released version for --bad"),
        ("0.9", "1.1", "unknown released version for --good"),
        ("1.0", "1.0.0", "between two versions"),
        ("one", "1.1", "takes a version"),
    ],
)
def test_what_is_no_span_is_refused(good: str, bad: str, message: str) -> None:
    """The rule, the value met, the remedy."""
    with pytest.raises(SpecError, match=message):
        between(("1.0", "1.1"), good, bad)
