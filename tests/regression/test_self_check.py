"""A fault in the regression check itself is found before anything is checked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.regression.speeds import Change
from tests.support.check_world import World


def inverted_speeds(patch: pytest.MonkeyPatch) -> None:
    right = Change.classify
    swap = {"slower": "faster", "faster": "slower"}
    patch.setattr(Change, "classify", lambda *given: swap.get(m := right(*given), m))


def blind_speeds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Change, "classify", lambda *_: "unchanged")


def wrong_way_round(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Change, "mean", property(lambda self: self.before.mean - self.now.mean))


def blind_facts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("harness.regression.compare_facts._differences", lambda *_: iter(()))


def lax_memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("harness.regression.compare_facts.MEMORY_MARGIN", 0.5)


def any_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("harness.regression.compare_facts.key_differences", lambda *_: {})


def green_verdict(patch: pytest.MonkeyPatch) -> None:
    for module in ("check", "self_check"):
        patch.setattr(f"harness.regression.{module}.verdict", lambda _: "equivalent")


def one_measurement(patch: pytest.MonkeyPatch) -> None:
    for module in ("check", "self_check"):
        patch.setattr(f"harness.regression.{module}.combine", lambda first, _: first)


@pytest.mark.parametrize(
    "fault",
    [
        inverted_speeds,
        blind_speeds,
        wrong_way_round,
        blind_facts,
        lax_memory,
        any_key,
        green_verdict,
        one_measurement,
    ],
)
def test_a_broken_regression_check_refuses_to_run(
    fault: Callable[[pytest.MonkeyPatch], None], world: World
) -> None:
    """Each planted fault of the check itself is found before a check: exit code 3, no report."""
    world.accept()
    fault(world.patch)
    assert 3 == world.check()
    assert "the regression check must classify" in world.output
    assert not (world.folder / "out").exists()
