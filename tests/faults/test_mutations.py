"""A mutation changes exactly the lines it names, and is refused if they have changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.spec import registry
from tests.faults.mutations import Mutation, mutate, mutations, path_of, source_of
from tests.faults.planted import FAULTS

USED_ELSEWHERE = {
    "backward_of_layer_0_scaled",
    "crashes",
    "hangs",
    "killed",
    "killed_while_saving",
    "never_saves",
    "output_of_layer_1_scaled",
    "rank_1_hangs",
    "rank_1_killed",
    "rank_1_out_of_memory",
    "refused_operation",
}


def mutation(*lines: str, loop: str = "plain") -> Mutation:
    """One with a single place."""
    return Mutation("planted", loop, "something is wrong", (lines,))


def test_every_mutation_fits_its_loop_and_is_used() -> None:
    """Each gives Python text, and is the loop or reference of a fault, or serves another test."""
    for each in mutations().values():
        mutate(each)
    in_faults = {name for fault in FAULTS for name in (fault.loop, fault.ground.reference)}
    assert mutations().keys() == (mutations().keys() & in_faults) | USED_ELSEWHERE


def test_a_mutation_changes_its_lines_and_no_others() -> None:
    """New lines take the indentation of the place; comments at the ends of lines do not count."""
    made = mutate(mutation("  optimizer.zero_grad()", "+ if step == 3:", "+     torch.rand(1)"))
    at = "            optimizer.zero_grad()\n"
    added = "            if step == 3:\n                torch.rand(1)\n"
    assert f"{at}{added}" in made
    assert made.replace(added, "").endswith(f"\n{source_of('plain')}\n")


@pytest.mark.parametrize("loop", ["plain", "minimal", "accelerated"])
def test_a_loop_of_the_harness_is_mutated_whole(loop: str) -> None:
    """Also one that is kept in several files: nothing private is imported."""
    text = mutate(mutation("- optimizer.zero_grad()", loop=loop))
    assert "optimizer.zero_grad()" not in text
    assert "harness.training.loops" not in text


@pytest.mark.parametrize(
    ("lines", "count"),
    [(("- optimizer.zero_gradients()",), 0), (("- model.train()",), 2)],
    ids=["absent", "twice"],
)
def test_a_place_that_is_not_there_exactly_once_is_refused(
    lines: tuple[str, ...], count: int
) -> None:
    """The message names the mutation and the lines."""
    with pytest.raises(ValueError, match=re.escape(f"planted: found {count} times")):
        mutate(mutation(*lines))


@pytest.mark.parametrize(
    "lines",
    [("- optimizer.zero_grad()", "+ optimizer.zero_grad()  # as before"), ("+ pass",), ("x",)],
    ids=["same", "nowhere", "no-prefix"],
)
def test_a_mutation_without_an_effect_is_refused(lines: tuple[str, ...]) -> None:
    """Also one without a place, or with a line of neither kind."""
    with pytest.raises(ValueError, match="planted"):
        mutate(mutation(*lines))


def test_a_loop_is_known_by_its_path_or_name() -> None:
    """A mutation is a file with its summary; a loop of the harness keeps its name."""
    path = path_of("forgot_zero_grad")
    assert "forgot_zero_grad" == Path(path).stem
    assert (
        "The loop plain with one change: gradients of all steps are added up."
        == registry.loop(path).summary
    )
    assert "plain" == path_of("plain")
    assert Path(path_of("by_hand")).is_file()
