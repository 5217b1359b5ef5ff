"""The study of pairs of commits: its pairs can be made, and a misplaced result is a mistake."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.report.formats.comment import LINES, comment
from harness.results.report import Report
from studies.commit_pairs import LEAST, shortfalls, summary
from studies.commits.examine import make_pair, mistakes, topic_of
from studies.commits.pairs import PAIRS, CommitPair

PUBLISHED = Path(__file__).parents[2] / "reports" / "published" / "commit-pairs"
RESULT = json.loads((PUBLISHED / "result.json").read_text(encoding="utf-8"))
ROWS = {row["name"]: row for row in RESULT["rows"]}
BY_NAME = {pair.name: pair for pair in PAIRS}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_the_commit_of_a_pair_is_made(pair: CommitPair, tmp_path: Path) -> None:
    """Each text that it replaces is there, and the two commits differ in those files alone."""
    make_pair(pair, tmp_path / "made")
    words = ["git", "-C", str(tmp_path / "made"), "diff", "--name-only", "before", "HEAD"]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert sorted({edit.file for edit in pair.edits}) == sorted(found)


def test_the_published_answers_are_right() -> None:
    """Of every pair of the table, judged again."""
    assert [] == shortfalls(RESULT)
    assert [pair.name for pair in PAIRS] == list(ROWS)
    assert {name: [] for name in ROWS} == {
        name: mistakes(BY_NAME[name], row) for name, row in ROWS.items()
    }
    assert len(ROWS) == RESULT["right"] == RESULT["pairs"] >= LEAST
    assert {"script", "package"} == {row["repository"] for row in ROWS.values()}


def moved(name: str, topic: str, to: str) -> dict[str, Any]:
    """A published answer with the sentences of a topic in another list."""
    lists = ("changed", "unchanged", "unknown")
    row = ROWS[name]
    found = [text for which in lists for text in row[which] if topic_of(text) == topic]
    kept = {which: [text for text in row[which] if text not in found] for which in lists}
    return {**row, **kept, to: kept[to] + found}


@pytest.mark.parametrize(
    ("name", "topic", "to"),
    [
        ("other names", "values", "changed"),
        ("other names", "values", "unknown"),
        ("learning rate", "values", "unchanged"),
        ("learning rate", "setting optimizer.learning_rate", "unknown"),
        ("number of steps", "counts", "unchanged"),
        ("a comment", "speed", "changed"),
        ("8% more work", "speed", "unchanged"),
        ("30% more work", "speed", "unchanged"),
        ("a name that is missing", "values", "unchanged"),
    ],
)
def test_a_result_in_another_list_is_a_mistake(name: str, topic: str, to: str) -> None:
    """Control: an 8% that is called the same speed would be one."""
    assert [] == mistakes(BY_NAME[name], ROWS[name])
    assert [] != mistakes(BY_NAME[name], moved(name, topic, to))


@pytest.mark.parametrize(
    "change",
    [
        {"exit_code": 0},
        {"changed": ["train.py: values different, first at step 5 in loss"]},
        {"changed": [*ROWS["learning rate"]["changed"], "train.py: speed faster"]},
    ],
    ids=["exit code", "another sentence", "a speed that nobody measured"],
)
def test_another_answer_is_a_mistake(change: dict[str, Any]) -> None:
    """Control."""
    assert [] != mistakes(BY_NAME["learning rate"], {**ROWS["learning rate"], **change})


def test_a_cost_that_is_called_an_improvement_is_a_mistake() -> None:
    """Control."""
    row = ROWS["30% more work"]
    faster = [text.replace("speed slower", "speed faster") for text in row["changed"]]
    assert faster != row["changed"]
    assert [] != mistakes(BY_NAME[row["name"]], {**row, "changed": faster})


def test_a_wrong_row_falls_short() -> None:
    rows = [{**ROWS["seed"], "mistakes": ["speed is missing"]}, *[ROWS["seed"]] * LEAST]
    result = summary(rows)
    assert (LEAST + 1, LEAST) == (result["pairs"], result["right"])
    assert ["seed: speed is missing"] == shortfalls(result)
    assert [f"there are {LEAST} pairs or more"] == shortfalls(summary(rows[1:3]))


@pytest.mark.parametrize("name", ["learning-rate", "slower"])
def test_the_published_comments_are_those_of_their_reports(name: str) -> None:
    """Golden files: what a reviewer reads of a commit."""
    report = Report.read(PUBLISHED / name)
    golden = (PUBLISHED / name / "comment.md").read_text(encoding="utf-8")
    assert golden == comment([report], report)
    assert golden.count("\n") <= LINES
