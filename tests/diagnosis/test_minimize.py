"""The search with known oracles: 1-minimal, within its bound, and correct when interrupted."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnosis.minimize import Subset, SubsetSearch, max_experiments

Truth = Callable[[Subset], bool]


def search(switches: Sequence[str], truth: Truth, budget: int | None = None) -> SubsetSearch:
    """A search that was run; questions beyond `budget` raise TimeoutError."""
    asked = 0

    def same(subsets: Sequence[Subset]) -> list[bool]:
        nonlocal asked
        asked += len(subsets)
        if budget is not None and asked > budget:
            raise TimeoutError
        return [truth(subset) for subset in subsets]

    found = SubsetSearch(switches, same)
    if budget is None:
        found.run()
    else:
        with pytest.raises(TimeoutError):
            found.run()
    return found


def is_minimal(found: Subset, truth: Truth) -> bool:
    """Enough, and no single one can be left out."""
    return truth(found) and not any(truth(found - {name}) for name in found)


def names(count: int) -> list[str]:
    """So many switches."""
    return [f"switch{number}" for number in range(count)]


@given(st.integers(1, 40), st.data())
def test_what_is_needed_is_found_within_the_bound(count: int, data: st.DataObject) -> None:
    """Of independent switches exactly the needed ones, with no more experiments than the bound."""
    switches = names(count)
    needed = frozenset(data.draw(st.sets(st.sampled_from(switches), min_size=1)))
    found = search(switches, needed.issubset)

    assert needed == found.enough
    assert found.minimal
    assert found.experiments <= max_experiments(count, len(needed))


@given(st.integers(1, 7), st.integers(0, 2**32))
def test_the_answer_is_minimal_however_switches_mask_one_another(count: int, seed: int) -> None:
    """For any oracle that is true for all switches and false for none, the result is 1-minimal."""
    switches, draw = names(count), random.Random(seed)
    answers: dict[Subset, bool] = {frozenset(switches): True, frozenset(): False}

    def truth(subset: Subset) -> bool:
        return answers.setdefault(subset, draw.random() < 0.4)

    assert is_minimal(search(switches, truth).enough, truth)


@given(st.integers(3, 20), st.data())
def test_either_of_two_is_found_as_one(count: int, data: st.DataObject) -> None:
    """If one of two switches is enough, one is named, not both, and no inert one."""
    switches = names(count)
    one, two = data.draw(st.lists(st.sampled_from(switches), min_size=2, max_size=2, unique=True))
    found = search(switches, lambda subset: bool({one, two} & subset)).enough
    assert found in ({one}, {two})


def test_the_bound_is_reached_by_hand() -> None:
    """Of four switches with the last needed: both halves, both quarters of the second, and no more,
    since the result without any switch is known from the beginning."""
    found = search(names(4), lambda subset: "switch3" in subset)
    assert 4 == found.experiments
    assert 2 * 1 * 2 + 1 == max_experiments(4, 1)
    assert 2 * 3 + 4 == max_experiments(4, 4)
    assert (0, 1) == (search(names(1), lambda subset: True).experiments, max_experiments(1, 1))


def test_a_search_that_is_ended_knows_what_is_enough() -> None:
    """The set so far is sufficient, and is not called minimal."""
    needed = {"switch1", "switch9"}
    found = search(names(16), needed.issubset, budget=4)
    assert needed < found.enough < set(names(16))
    assert not found.minimal


def test_a_wrong_oracle_is_not_mended() -> None:
    """Control: an oracle that is always true leads to one switch, which the check refuses."""
    lied = search(names(8), lambda subset: True).enough
    assert not is_minimal(lied, {"switch1", "switch2"}.issubset)
