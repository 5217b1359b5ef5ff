"""The faults that were written blind are valid, and the score counts what it says."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from harness.results.comparison import Comparison
from harness.results.divergence import Divergence
from studies.unseen_faults import (
    FAULTS,
    SETS,
    Changed,
    first_that_differs,
    score,
    script_texts,
)
from tests.faults.mutations import Mutation, mutate, read_mutations

TRUTHS: dict[str, dict[str, Any]] = {
    one: json.loads((FAULTS / one / "truth.json").read_text(encoding="utf-8")) for one in SETS
}
MUTATIONS = {one: read_mutations(FAULTS / one / "plain.diff") for one in SETS}
SCRIPTS = [(one, name) for one in SETS for name, fault in TRUTHS[one].items() if "script" in fault]


@pytest.mark.parametrize("one", SETS)
def test_every_fault_has_its_truth_and_nothing_else_has(one: str) -> None:
    """A mutation or a pair of scripts for each."""
    truth = TRUTHS[one]
    scripts = [fault for fault in truth.values() if "script" in fault]
    assert len(truth) == len(MUTATIONS[one]) + len(scripts)
    used = {
        fault[key] for fault in scripts for key in ("script", "reference_script") if key in fault
    }
    assert used == {path.stem for path in (FAULTS / one / "scripts").glob("*.py")}
    assert len(truth) >= 60


@pytest.mark.parametrize(
    "mutation", [each for one in SETS for each in MUTATIONS[one].values()], ids=lambda one: one.name
)
def test_a_mutation_still_applies(mutation: Mutation) -> None:
    """To the plain loop as it is, at one place each."""
    ast.parse(mutate(mutation))


@pytest.mark.parametrize(("one", "name"), SCRIPTS)
def test_the_scripts_of_a_pair_differ(one: str, name: str) -> None:
    """By what is planted."""
    texts = script_texts(TRUTHS[one][name], FAULTS / one)
    assert texts.candidate != texts.sound
    assert ("reference_script" in TRUTHS[one][name]) == (texts.reference != texts.sound)
    for text in texts:
        ast.parse(text)


def test_the_score_counts_each_kind() -> None:
    """A fault that was missed lowers the count."""
    right = {"found": True, "placed": True, "line": True, "causes": ["a"]}
    missed = {"found": False, "placed": False, "line": False, "causes": []}
    expected = {"faults": 2, "found": 1, "placed": 1, "with_a_changed_line": 1, "with_a_cause": 1}
    assert expected == score([right, missed])


def test_a_changed_line_counts_in_the_file_that_has_it() -> None:
    """A removed line in the reference, an added one in the candidate, and no other line."""
    changed = Changed("a = 1\nb = 2\nc = 3\n", "a = 1\nb = 4\nc = 3\n")
    assert changed.is_shown(["at reference.py:2"], "candidate.py")
    assert changed.is_shown(["at candidate.py:2"], "candidate.py")
    assert not changed.is_shown(["at candidate.py:1, reference.py:3"], "candidate.py")


def test_of_two_programs_only_lines_of_the_candidate_count() -> None:
    """Those of the reference have other numbers. If lines are only gone, some stand for them."""
    sound, faulty = "a = 1\nb = 2\nc = 3\n", "a = 1\nc = 3\n"
    changed = Changed(sound, faulty, also=("c = 3",))
    assert changed.is_shown(["candidate.py:2"], "candidate.py")
    assert not changed.is_shown(["candidate.py:1", "reference.py:2"], "candidate.py")
    added = Changed("a = 1\n", "a = 2\nc = 3\n", also=("c = 3",))
    assert added.is_shown(["candidate.py:1"], "candidate.py")


def _training(steps: int, differs_at: int | None) -> Comparison:
    first = None if differs_at is None else Divergence(step=differs_at, stage="loss")
    return Comparison(
        case="train",
        reference="a",
        candidate="b",
        outcome="identical" if first is None else "different",
        steps=steps,
        first_divergence=first,
    )


@pytest.mark.parametrize(
    ("trainings", "step"),
    [
        ([_training(6, None), _training(4, 2)], 8),
        ([_training(6, 3), _training(4, 2)], 3),
        ([_training(6, None), _training(4, None)], None),
    ],
)
def test_steps_are_counted_through_the_trainings_of_a_script(
    trainings: list[Comparison], step: int | None
) -> None:
    """The first that differs counts; in the last case none does."""
    first = first_that_differs(trainings).first_divergence
    assert step == (first.step if first is not None else None)
