"""Tensors are matched by prefix, initial value and order; what stays unclear is listed."""

from __future__ import annotations

import pytest

from harness.comparison.names import match_names

LAYERS = ("bert.layer.0.weight", "bert.layer.0.bias", "bert.layer.1.weight", "classifier.weight")


def numbered(*names: str, start: int = 1) -> dict[str, int | None]:
    """The names, each with an initial value of its own."""
    return {name: start + place for place, name in enumerate(names)}


def unknown(*names: str) -> dict[str, int | None]:
    """The names, without initial values."""
    return dict.fromkeys(names)


def test_equal_names_need_no_sentence() -> None:
    """In any order."""
    found = match_names(numbered(*LAYERS), numbered(*LAYERS[::-1]))
    assert "" == found.sentence
    assert not found.translates
    assert {name: name for name in LAYERS} == found.pairs


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "net.", "a.b.c."])
@pytest.mark.parametrize("side", ["reference", "candidate"])
def test_one_prefix_is_found_without_values(prefix: str, side: str) -> None:
    """Any prefix of either side, also where no initial value was recorded."""
    sides = [unknown(*LAYERS), unknown(*(prefix + name for name in LAYERS))]
    one, two = sides if side == "candidate" else sides[::-1]
    found = match_names(one, two)
    assert f"names differ by the prefix `{prefix}`; 4 of 4 matched" == found.sentence
    assert all(
        ours.removeprefix(prefix) == theirs.removeprefix(prefix)
        for theirs, ours in found.pairs.items()
    )


def test_both_sides_may_have_a_prefix() -> None:
    """Each is named with its side."""
    found = match_names(
        unknown(*(f"model.{name}" for name in LAYERS)), unknown(*(f"net.{name}" for name in LAYERS))
    )
    assert (
        "names begin with `model.` in the reference and with `net.` in the candidate; "
        "4 of 4 matched"
    ) == found.sentence


def test_a_wrapper_of_a_part_is_another_prefix() -> None:
    """Only the encoder is wrapped: two pairs of prefixes, each stated once."""
    names = ["bert.a.weight", "bert.b.weight", "classifier.weight"]
    found = match_names(
        unknown(*names), unknown("bert._orig_mod.a.weight", "bert._orig_mod.b.weight", names[2])
    )
    assert {
        "bert._orig_mod.a.weight": "bert.a.weight",
        "bert._orig_mod.b.weight": "bert.b.weight",
        "classifier.weight": "classifier.weight",
    } == found.pairs


def test_a_prefix_that_is_also_a_name_is_no_trap() -> None:
    """`net.weight` is in both models, but another tensor: the prefix that fits all wins."""
    found = match_names(unknown("weight", "net.weight"), unknown("net.weight", "net.net.weight"))
    assert {"net.weight": "weight", "net.net.weight": "net.weight"} == found.pairs


def test_a_tensor_of_one_side_is_listed() -> None:
    """One fewer is no reason to match anything else."""
    found = match_names(numbered(*LAYERS), numbered(*LAYERS[:3]))
    assert (LAYERS[3],) == found.reference_only
    assert (
        f"the two do not have the same tensors; 3 of 4 matched; only in the reference: {LAYERS[3]}"
    ) == found.sentence


def test_other_names_are_matched_by_initial_values() -> None:
    """Values that are alone on both sides, the tensors beside them, and equal ones in order."""
    found = match_names(
        {"fc1.weight": 1, "fc1.bias": 0, "norm.weight": 7, "fc2.weight": 2, "fc2.bias": 0},
        {"0.weight": 1, "0.bias": 0, "1.weight": 7, "2.weight": 2, "2.bias": 0},
    )
    assert {
        "0.weight": "fc1.weight",
        "0.bias": "fc1.bias",
        "1.weight": "norm.weight",
        "2.weight": "fc2.weight",
        "2.bias": "fc2.bias",
    } == found.pairs
    assert "5 tensors with other names matched by initial values" in found.sentence


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        (unknown("a.weight", "b.weight"), unknown("x.weight", "y.weight")),
        (numbered("a.weight", "b.weight"), numbered("x.weight", "y.weight", start=11)),
        ({"a.weight": 0, "b.weight": 0}, {"x.weight": 0}),
        (unknown("a.b.weight", "c.b.weight"), unknown("x.b.weight")),
    ],
    ids=["no values", "other values", "two for one", "two prefixes"],
)
def test_what_is_unclear_is_not_guessed(
    reference: dict[str, int | None], candidate: dict[str, int | None]
) -> None:
    """The last word of a name and an equal value of several tensors match nothing."""
    found = match_names(reference, candidate)
    assert {} == dict(found.pairs)
    assert tuple(reference) == found.reference_only
    assert tuple(candidate) == found.candidate_only
    assert found.sentence.endswith("match others with --rename OLD=NEW")


def test_initial_values_decide_between_two_prefixes() -> None:
    """Of two prefixes that match equally many, the one with equal values is taken."""
    found = match_names({"a.b.weight": 1, "c.b.weight": 2}, {"x.b.weight": 2})
    assert {"x.b.weight": "c.b.weight"} == found.pairs
    assert ("a.b.weight",) == found.reference_only


def test_a_rename_is_applied_first() -> None:
    """A prefix of the candidate is replaced, and the rest is matched as usual."""
    found = match_names(
        unknown("encoder.weight", "head.weight"),
        unknown("net.body.weight", "net.head.weight"),
        [("net.body.", "net.encoder.")],
    )
    assert {"net.body.weight": "encoder.weight", "net.head.weight": "head.weight"} == found.pairs
    assert found.sentence.startswith("--rename changes 1 tensor of the candidate")


def test_a_rename_that_makes_two_names_one_is_not_applied() -> None:
    """It would hide a tensor."""
    found = match_names(unknown("a.weight"), unknown("b.weight", "c.weight"), [("b.", "c.")])
    assert ("b.weight", "c.weight") == found.candidate_only


GENERATOR = {"Sequential.0.weight": 1, "Sequential.0.bias": 2}
CRITIC = {"Sequential-2.0.weight": 3, "Sequential-2.0.bias": 4}


def swapped(values: dict[str, int | None]) -> dict[str, int | None]:
    """The same two models, watched in the other order."""
    return {
        name: values[
            name.replace("Sequential-2", "other")
            .replace("Sequential.", "Sequential-2.")
            .replace("other", "Sequential")
        ]
        for name in values
    }


def test_models_that_are_watched_in_another_order_are_matched_whole() -> None:
    """By their initial values. One value that differs, and equal names stay together."""
    both: dict[str, int | None] = {**GENERATOR, **CRITIC}
    found = match_names(both, swapped(both))
    assert "Sequential-2.0.bias" == found.pairs["Sequential.0.bias"]
    assert found.sentence.startswith("models in another order, matched by initial values")
    spoiled = swapped(both) | {"Sequential.0.bias": 9}
    assert not match_names(both, spoiled).translates


def test_parts_of_one_model_are_not_models() -> None:
    """If the weights of two layers are exchanged, the layers are not."""
    one: dict[str, int | None] = {"encoder.weight": 1, "decoder.weight": 2}
    assert not match_names(one, {"encoder.weight": 2, "decoder.weight": 1}).translates


def test_equal_values_under_unlike_names_are_matched_in_their_order() -> None:
    """As the scales of norms, which are all one."""
    one = {"norm_a.weight": 1, "norm_b.weight": 1, "head.weight": 2}
    found = match_names(one, {"p_1": 1, "p_2": 1, "p_3": 2})
    assert {"p_1": "norm_a.weight", "p_2": "norm_b.weight", "p_3": "head.weight"} == found.pairs
