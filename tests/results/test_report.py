"""`report.json`, a contract with other programs, and its verdict."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RecordError
from harness.report.text.summary import remarks, sentence
from harness.results.comparison import Cause, Comparison
from harness.results.regression import CheckResult
from harness.results.report import Report, verdict
from tests.support.records import draft, spec, write_run_folder
from tests.support.small_report import DIFFERENT, IDENTICAL, run, small_report

# The keys of the contract; more may be added, none may go.
REPORT = {"schema_version", "verdict", "comparisons", "runs", "environment", "command"}
COMPARISON = {
    "case",
    "reference",
    "candidate",
    "outcome",
    "steps",
    "first_divergence",
    "causes",
    "findings",
}
DIVERGENCE = {"step", "micro_batch", "stage", "tensor", "reference", "candidate", "max_ulp"}
CAUSE = {"id", "title", "evidence", "remedy"}
FINDING = {"metric", "unit", "outcome", "reference", "candidate", "ratio", "interval"}
RUN = {
    "case",
    "loop",
    "device",
    "world_size",
    "status",
    "steps",
    "final_metrics",
    "record",
}


def comparison(outcome: str) -> Comparison:
    return IDENTICAL.model_copy(update={"outcome": outcome})


@pytest.mark.parametrize(
    ("expected", "statuses", "outcomes"),
    [
        ("equivalent", ["completed"], ["identical"]),
        ("equivalent", ["completed"], ["identical", "within_noise", "equivalent"]),
        ("different", ["completed"], ["identical", "different", "inconclusive"]),
        ("failed", ["completed", "failed"], ["identical", "different"]),
        ("failed", ["interrupted"], ["identical"]),
        ("no_verdict", ["completed"], ["identical", "inconclusive"]),
        ("no_verdict", ["completed"], ["identical", "incomparable"]),
        ("no_verdict", ["completed"], ["faster"]),
        ("no_verdict", ["completed"], []),
        ("no_verdict", [], []),
        ("no_verdict", ["completed", "not run"], ["identical"]),
        ("different", ["completed", "not run"], ["different"]),
        ("failed", ["not run", "failed"], ["identical"]),
    ],
)
def test_the_worst_decides(expected: str, statuses: list[str], outcomes: list[str]) -> None:
    """A failure precedes a difference, and a difference an unknown; else the verdict is green."""
    assert expected == verdict(statuses, [comparison(outcome) for outcome in outcomes])


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """`report.json` loses nothing, and no other file is written."""
    path = small_report().write_json(tmp_path)

    assert small_report() == Report.read(tmp_path)
    assert [path] == list(tmp_path.iterdir())
    assert small_report(verdict="failed") != Report.read(tmp_path)


def test_values_that_are_not_finite_survive(tmp_path: Path) -> None:
    """A metric that is NaN comes back as NaN."""
    small_report(runs=(run("plain", final_metrics={"f1": math.nan}),)).write_json(tmp_path)

    assert math.isnan(Report.read(tmp_path).runs[0].final_metrics["f1"])


def test_the_file_has_the_keys_of_the_contract(tmp_path: Path) -> None:
    """Other programs rely on these names at these places."""
    causes = (Cause(id="x", title="X", evidence="seen", remedy="mend"),)
    blamed = DIFFERENT.model_copy(update={"causes": causes})
    path = small_report(comparisons=(IDENTICAL, blamed)).write_json(tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))

    assert REPORT <= content.keys()
    assert (1, "different") == (content["schema_version"], content["verdict"])
    one, two = content["comparisons"]
    assert COMPARISON <= one.keys()
    assert one["first_divergence"] is None
    assert DIVERGENCE <= two["first_divergence"].keys()
    assert FINDING <= one["findings"][0].keys()
    assert CAUSE <= two["causes"][0].keys()
    assert RUN <= content["runs"][0].keys()
    assert ["harness", "run", "tiny", "--set", "data=a b"] == content["command"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"schema_version": 1}'])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, text: str | None) -> None:
    """A missing, truncated or foreign file is refused in one line that names the folder."""
    if text is not None:
        (tmp_path / "report.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        Report.read(tmp_path)

    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [0, 2])
def test_another_schema_version_is_refused(tmp_path: Path, version: int) -> None:
    """A report of another version is refused, even if its fields fit."""
    small_report(schema_version=version).write_json(tmp_path)
    with pytest.raises(RecordError, match="schema version 1"):
        Report.read(tmp_path)


def test_a_report_sums_up_its_records(tmp_path: Path) -> None:
    """Counts, rates and paths come from the headers; the record is found from the folder."""
    report = write_run_folder(tmp_path / "out", {"plain": draft(), "trainer": draft("trainer")})
    first = report.runs[0]

    assert (6, 48, 24.0, {}) == (first.steps, first.samples, first.samples_per_s, first.overrides)
    assert (tmp_path / "out" / first.record / "record.json").is_file()
    assert {"accuracy": 0.875, "f1": 0.9} == first.final_metrics
    assert 6 == report.recipes["tiny"]["max_steps"]
    assert "no_verdict" == report.verdict


def test_a_report_lists_the_fields_that_a_loop_overrides(tmp_path: Path) -> None:
    """Fields in which the recipe of a run differs from the recipe of its case are listed."""
    asked = spec(conventions="native")
    followed = asked.recipe.model_copy(update={"seed": 1, "max_grad_norm": None})
    native = draft(spec=asked.model_copy(update={"recipe": followed}))
    report = write_run_folder(tmp_path / "out", {"plain": native})

    assert {"seed": 1, "max_grad_norm": None} == report.runs[0].overrides
    assert "native" == report.runs[0].conventions


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (IDENTICAL, "accelerated against plain: identical, bit for bit, at all 6 steps"),
        (
            DIFFERENT,
            "trainer against plain: different, first at step 3, micro-batch 2"
            " in gradients of classifier.bias and 2 more, by 2 ulp"
            "; cause: the losses of a window are summed, not averaged",
        ),
        (
            DIFFERENT.model_copy(update={"causes": DIFFERENT.causes[1:]}),
            "trainer against plain: different, first at step 3, micro-batch 2"
            " in gradients of classifier.bias and 2 more, by 2 ulp; cause unknown",
        ),
        (
            IDENTICAL.model_copy(update={"outcome": "inconclusive", "doubts": ("x is nan", "y")}),
            "accelerated against plain: inconclusive; x is nan",
        ),
    ],
)
def test_a_sentence_states_outcome_and_place(found: Any, expected: str) -> None:
    """One line for a reader: the outcome, and where it comes from."""
    assert expected == sentence(found)


def test_resumes_and_repeated_rows_are_reported(tmp_path: Path) -> None:
    """A resume with its step, and rows that several processes repeated; else nothing."""
    made = draft(resumed_from=(2, 4), repeated_samples=3)
    report = write_run_folder(tmp_path / "run", {"plain": made, "trainer": draft("trainer")})
    first, second = remarks(report.runs[0])
    assert "checkpoint at step 2, 4" in first
    assert f"3 of its {made.header['samples']} samples" in second
    assert [] == remarks(report.runs[1])


def test_names_of_earlier_reports_are_read() -> None:
    """Reports before 0.2.0 call the sentence of an item `words`, and the measurements `looks`."""
    item = {"case": "a", "loop": "b", "metric": "steps", "tier": "exact", "listed": "regressed"}
    old = {"items": [{**item, "words": "6, now 5"}], "baselines": [], "looks": 2}
    new = {"items": [{**item, "sentence": "6, now 5"}], "baselines": [], "measurements": 2}
    read = CheckResult.model_validate(old)
    assert (("6, now 5",), 2) == (tuple(item.sentence for item in read.items), read.measurements)
    assert CheckResult.model_validate(new) == read
