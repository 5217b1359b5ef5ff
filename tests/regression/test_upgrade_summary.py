"""The summary of an upgrade: what changed, what did not, and what is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison.compare import compare
from harness.execution.environments.interpreter import Libraries
from harness.execution.environments.variants import LibrarySet
from harness.regression.upgrade_summary import upgrade_result
from harness.report.text.answers import first_lines
from harness.report.text.verdict import headline
from harness.report.write import write
from harness.results.comparison import Comparison, Finding, Outcome, incomparable
from harness.results.report import Report, Verdict
from harness.results.upgrade import UpgradeResult
from tests.support.records import Draft, Spoil, draft, evaluation

SIDES = [
    LibrarySet("transformers 4.57.6", Libraries("/py", {"transformers": "4.57.6", "rich": "1"})),
    LibrarySet("transformers 5.23.0", Libraries(None, {"transformers": "5.23.0", "rich": "1"})),
]
LABELS = ("plain with transformers 4.57.6", "plain with transformers 5.23.0")
SETTINGS = {"model.training": True, "optimizer.eps": 1e-8}


def speed(outcome: Outcome, low: float, high: float) -> Comparison:
    found = Finding(
        metric="own_step_s",
        unit="s",
        outcome=outcome,
        reference=0.1,
        candidate=0.11,
        ratio=(low + high) / 2,
        interval=(low, high),
        confidence=0.95,
        smallest_visible=1.05,
    )
    return Comparison(
        case="tiny-plain",
        reference="transformers-4.57.6",
        candidate="transformers-5.23.0",
        outcome=outcome,
        equality="identical",
        steps=100,
        findings=(found,),
    )


def summarize(
    folder: Path, spoil: Spoil = lambda made: None, *timed: Comparison, **more: object
) -> UpgradeResult:
    """The summary of two runs, the second with a planted change."""
    one, two = (draft(settings={**SETTINGS}) for _ in range(2))
    two.header["settings"] |= more
    spoil(two)
    records = one.write(folder / "one"), two.write(folder / "two")
    pair = compare(*records, LABELS)
    headers = {(pair.case, label): r.header for label, r in zip(LABELS, records, strict=True)}
    return upgrade_result(SIDES, [pair], headers, timed)


def test_the_same_training_is_all_unchanged(tmp_path: Path) -> None:
    """Values, settings, counts and metrics; only the package itself is another."""
    found = summarize(tmp_path)
    assert ((), ()) == (found.changed, found.unknown)
    assert [("transformers", ("4.57.6", "5.23.0"))] == [
        (each.name, each.versions) for each in found.packages
    ]
    assert 1 == found.packages_same
    text = "\n".join(found.unchanged)
    assert "tiny, plain: values identical, bit for bit, at all 6 steps" in text
    assert "2 settings read from the training objects are equal" in text
    assert "optimizer steps 6" in text
    assert "accuracy 0.875" in text


def weights(made: Draft) -> None:
    made.step(2)["weights"] ^= 1


def accuracy(made: Draft) -> None:
    made.header["evaluations"] = (evaluation(6, accuracy=0.75),)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (weights, "values different, first at step 2 in weights"),
        (accuracy, "accuracy 0.75, was 0.875"),
        (lambda made: made.cut(5), "optimizer steps 5, was 6"),
        (lambda made: made.header.update(parameters=31), "trained parameters 31, was 30"),
    ],
)
def test_each_change_is_told_where_it_is(tmp_path: Path, spoil: Spoil, expected: str) -> None:
    """And is no longer among what did not change."""
    found = summarize(tmp_path, spoil)
    assert any(expected in line for line in found.changed)
    assert not any("identical, bit for bit" in line for line in found.unchanged)


def test_a_setting_that_changed_is_told_with_both_values(tmp_path: Path) -> None:
    """A setting that only one run reports is no change."""
    found = summarize(tmp_path, lambda made: None, **{"optimizer.eps": 1e-6, "optimizer.new": 1})
    assert ["tiny, plain: setting optimizer.eps is 1e-06, was 1e-08"] == list(found.changed)
    alone = "tiny: settings reported only by plain with transformers 5.23.0: optimizer.new"
    assert (alone,) == found.unknown


@pytest.mark.parametrize(
    ("outcome", "low", "high", "where"),
    [
        ("slower", 1.08, 1.12, "changed"),
        ("faster", 0.88, 0.92, "changed"),
        ("equivalent", 0.99, 1.01, "unchanged"),
        ("inconclusive", 0.9, 1.1, "unknown"),
    ],
)
def test_speeds_are_listed_by_their_verdict(
    tmp_path: Path, outcome: Outcome, low: float, high: float, where: str
) -> None:
    """With ratio and interval."""
    found = summarize(tmp_path, lambda made: None, speed(outcome, low, high))
    for name in ("changed", "unchanged", "unknown"):
        lines = [line for line in getattr(found, name) if "tiny-plain: speed" in line]
        assert (1 if name == where else 0) == len(lines)
        assert all("95% interval" in line for line in lines)


def test_what_was_not_measured_is_not_told(tmp_path: Path) -> None:
    """A run that failed, a bench without sessions."""
    lost = incomparable("tiny", *LABELS, "it broke")
    slow = incomparable("tiny-plain", "a", "b", "1 sessions fit into 9 s")
    found = upgrade_result(SIDES, [lost], {}, [slow])
    assert ((), ()) == (found.changed, found.unchanged)
    assert "it broke" in found.unknown[0]
    assert "speed unknown: 1 sessions" in found.unknown[1]


def test_the_pages_say_all_of_it_and_escape_it(tmp_path: Path) -> None:
    """Changes first; whatever a setting holds stays text."""
    found = summarize(tmp_path, weights, **{"loader.collator": "x"})
    found = found.model_copy(update={"changed": (*found.changed, "<script>alert(1)</script>")})
    report = Report(
        verdict="different",
        comparisons=(speed("different", 1.0, 1.0).model_copy(update={"equality": None}),),
        runs=(),
        recipes={},
        environment={},
        command=("harness",),
        upgrade=found,
    )
    write(report, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    for page in (html, markdown):
        assert "These versions do not train the same" in page
        for heading in ("What changed", "What did not change", "What could not be compared"):
            assert heading in page
        assert "<script>alert" not in page
    assert (
        "from transformers 4.57.6 to transformers 5.23.0: tiny, plain: values different"
        in (first_lines(report)[0])
    )


@pytest.mark.parametrize(
    ("verdict", "outcome", "words"),
    [
        ("equivalent", "identical", "train the same"),
        ("different", "different", "do not train the same"),
        ("different", "slower", "compute the same, but not equally fast"),
        ("no_verdict", "inconclusive", "No verdict"),
        ("failed", "incomparable", "A run failed"),
    ],
)
def test_the_headline_tells_values_from_speeds(
    tmp_path: Path, verdict: Verdict, outcome: Outcome, words: str
) -> None:
    """A version that is only slower is not reported as different."""
    report = Report(
        verdict=verdict,
        comparisons=(speed(outcome, 1.0, 1.0),),
        runs=(),
        recipes={},
        environment={},
        command=("harness",),
        upgrade=summarize(tmp_path),
    )
    assert words in headline(report)
