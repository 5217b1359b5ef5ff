"""Two models without a common tensor: that is said first, and nothing that is false of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.comparison.names import NameMatch
from harness.report.text.causes import reasons
from harness.report.text.summary import sentence
from tests.comparison.facts.spoiled import sound
from tests.support.records import Draft, compare_drafts, fake_digest

OTHER = {"embedding.weight": "0.w", "classifier.weight": "1.v", "classifier.bias": "2.u"}


def other_model(parameters: int = 50, names: Mapping[str, str] = OTHER) -> Draft:
    """A run of a model with these names and values of its own."""
    made = sound("my_loop.py")
    for trace in ("tensors", "norms"):
        for row in made.rows[trace]:
            row["tensor"] = names.get(row["tensor"], row["tensor"])
    for row in made.rows["tensors"]:
        row["weight"] = fake_digest("other", row["step"], row["tensor"])
    made.header |= {
        "parameter_names": tuple(names.get(n, n) for n in made.header["parameter_names"]),
        "parameters": parameters,
        "initial_weights": "00000000000000ff",
    }
    made.header["settings"] |= {"rng.seed": 43}
    return made


NOT_COMPARED = (
    "not compared, as the two models have no tensor in common: gradients, weights, optimizer_state"
)


def test_two_models_are_said_to_be_two_models(tmp_path: Path) -> None:
    found = compare_drafts(tmp_path, sound(), other_model())
    assert (
        "candidate against reference: different; the two runs train different models: 30 and 50 "
        "parameters, no tensor in common"
    ) == sentence(found)
    assert NOT_COMPARED in found.doubts
    assert not any("not recorded in both runs" in doubt for doubt in found.doubts)
    assert not any("same tensors" in line for line in found.alignment)


def test_a_setting_does_not_explain_another_model(tmp_path: Path) -> None:
    found = compare_drafts(tmp_path, sound(), other_model())
    assert "Also differs: seed 43 against 42." in reasons(found)
    assert () == found.causes
    assert not any(line.startswith("Differs") for line in reasons(found))


def test_as_many_parameters_may_be_the_same_model(tmp_path: Path) -> None:
    """The names and the seed of one model can differ."""
    found = compare_drafts(tmp_path, sound(), other_model(parameters=30))
    assert "different models" not in sentence(found)
    assert "no tensor of the two models has the same name or initial value" in sentence(found)


def test_one_common_tensor_is_no_different_model(tmp_path: Path) -> None:
    """The control: the names are matched and listed as before."""
    some = {"classifier.weight": "1.v", "classifier.bias": "2.u"}
    found = compare_drafts(tmp_path, sound(), other_model(names=some))
    assert "" == found.different_models
    assert any("the two do not have the same tensors" in line for line in found.alignment)


def test_what_was_not_recorded_is_still_said_to_be_that(tmp_path: Path) -> None:
    candidate = other_model()
    for row in candidate.rows["steps"]:
        row["gradients"] = None
    found = compare_drafts(tmp_path, sound(), candidate)
    assert "not recorded in both runs: gradients" in found.doubts
    assert NOT_COMPARED.replace("gradients, ", "") in found.doubts


def test_a_run_without_tensors_has_nothing_to_match() -> None:
    assert not NameMatch({}, candidate_only=("a",)).nothing_in_common
    assert not NameMatch({"a": "a"}, ("b",), ("c",)).nothing_in_common
    assert NameMatch({}, ("b",), ("c",)).nothing_in_common
