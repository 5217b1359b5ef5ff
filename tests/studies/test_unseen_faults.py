"""The faults that were written blind are valid, and the score counts what it says."""

from __future__ import annotations

import ast
import json

import pytest

from studies.unseen_faults import UNSEEN, score, script_texts
from tests.faults.mutations import mutate, read_mutations

TRUTH = json.loads((UNSEEN / "truth.json").read_text(encoding="utf-8"))
MUTATIONS = read_mutations(UNSEEN / "plain.diff")
SCRIPTS = [name for name, fault in TRUTH.items() if "script" in fault]


def test_every_fault_has_its_truth_and_nothing_else_has() -> None:
    """A mutation or a pair of scripts for each."""
    assert sorted(TRUTH) == sorted([*MUTATIONS, *SCRIPTS])
    used = {TRUTH[name]["script"] for name in SCRIPTS}
    assert used == {path.stem for path in (UNSEEN / "scripts").glob("*.py")}
    assert len(TRUTH) >= 60


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_still_applies(name: str) -> None:
    """To the plain loop as it is, at one place each."""
    ast.parse(mutate(MUTATIONS[name]))


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_of_a_pair_differ(name: str) -> None:
    """By what is planted."""
    texts = script_texts(TRUTH[name])
    assert texts[0] != texts[1]
    for text in texts:
        ast.parse(text)


def test_the_score_counts_each_kind() -> None:
    """A fault that was missed lowers the count."""
    right = {"found": True, "placed": True, "line": True, "causes": ["a"]}
    missed = {"found": False, "placed": False, "line": False, "causes": []}
    expected = {"faults": 2, "found": 1, "placed": 1, "with_a_changed_line": 1, "with_a_cause": 1}
    assert expected == score([right, missed])
