"""JUnit read back by a real parser: red for what fails, and never green for what is not known."""

from pathlib import Path
from typing import Any

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.report.formats.junit import junit
from harness.report.write import write
from harness.results.report import Report
from tests.support.judged_reports import bench_report, gated_report, item, speed
from tests.support.run_folders import HOSTILE
from tests.support.small_report import DIFFERENT, IDENTICAL, ORIGIN, run, seeds_report, small_report


def cases(report: Report) -> dict[tuple[str, str], list[Any]]:
    """Results of each test case by class and name, as a CI reads them."""
    found = JUnitXml.fromstring(junit(report))
    suites = [suite for suite in found if isinstance(suite, TestSuite)]
    tests = [case for suite in suites for case in suite if isinstance(case, TestCase)]
    assert found.tests == len(tests)
    assert found.failures == sum(isinstance(r, Failure) for case in tests for r in case.result)
    assert found.errors == sum(isinstance(r, Error) for case in tests for r in case.result)
    assert sum(suite.skipped for suite in suites) == sum(case.is_skipped for case in tests)
    return {(str(case.classname), str(case.name)): list(case.result) for case in tests}


VERDICT = ("trainloop-harness", "verdict")


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("identical", []),
        ("within_noise", []),
        ("equivalent", []),
        ("different", [Failure]),
        ("faster", [Failure]),
        ("slower", [Failure]),
        ("inconclusive", [Skipped]),
        ("incomparable", [Skipped]),
    ],
)
def test_a_pair_is_a_test_case(outcome: str, expected: list[type]) -> None:
    """What makes exit code 1 fails, what gives no answer is skipped, the rest passes."""
    pair = IDENTICAL.model_copy(update={"outcome": outcome, "candidate": "other"})
    found = cases(small_report(comparisons=(pair,)))
    assert expected == [type(result) for result in found["tiny", "other against plain"]]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("regressed", [Failure]),
        ("improved", []),
        ("unchanged", []),
        ("inconclusive", [Skipped]),
        ("not_comparable", [Skipped]),
        ("missing", [Skipped]),
    ],
)
def test_with_a_baseline_its_items_are_the_test_cases(listed: str, expected: list[type]) -> None:
    """Two loops that differ as they were accepted to are no failure then."""
    report = gated_report()
    assert report.gate is not None
    gate = report.gate.model_copy(update={"items": (item(listed),)})
    found = cases(report.model_copy(update={"gate": gate}))

    assert {VERDICT, ("tiny", "trainer: steps")} == found.keys()
    assert expected == [type(result) for result in found["tiny", "trainer: steps"]]
    assert any(one.outcome == "different" for one in report.comparisons)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("equivalent", []),
        ("different", [Failure]),
        ("regression", [Failure]),
        ("no_verdict", [Error]),
        ("failed", [Error]),
    ],
)
def test_the_verdict_is_always_a_test_case(verdict: str, expected: list[type]) -> None:
    """Not to know is an error of the whole, so that a CI that shows skipped as green is red."""
    found = cases(small_report(verdict=verdict, comparisons=(), runs=()))
    assert {VERDICT} == found.keys()
    assert expected == [type(result) for result in found[VERDICT]]


def test_a_run_that_failed_is_an_error_and_one_that_was_not_run_is_skipped() -> None:
    """With its message; runs that ended normally are not counted as passed tests."""
    failed = run("trainer", status="failed", error="out of memory")
    found = cases(small_report(runs=(run("plain"), failed, run("gpu", status="not run"))))

    assert [Error] == [type(one) for one in found["tiny", "trainer: run"]]
    assert "failed: out of memory" == found["tiny", "trainer: run"][0].message
    assert [Skipped] == [type(one) for one in found["tiny", "gpu: run"]]
    assert ("tiny", "plain: run") not in found


def test_equally_fast_and_not_the_same_is_a_failure() -> None:
    """A bench has exit code 1 then, too."""
    pair = speed("trainer", "equivalent", 1.0, (0.99, 1.01))
    fast = bench_report(comparisons=(pair,))
    other = bench_report(comparisons=(pair.model_copy(update={"equality": "different"}),))
    name = ("tiny", "trainer against plain")

    assert [] == cases(fast)[name]
    assert [Failure] == [type(result) for result in cases(other)[name]]


def test_a_failure_gives_its_reason() -> None:
    """The sentence is the message; the text has cause and remedy."""
    (failure,) = cases(small_report(comparisons=(DIFFERENT,)))["tiny", "trainer against plain"]
    assert failure.message.startswith("trainer against plain: different, first at step 3")
    assert "Remedy: divide each loss by the number of micro-batches" in failure.text


def test_what_others_wrote_is_text() -> None:
    """A record full of markup is read back as it is shown elsewhere, and the file stays whole."""
    pair = DIFFERENT.model_copy(update={"candidate": HOSTILE, "case": HOSTILE, "note": HOSTILE})
    found = cases(small_report(comparisons=(pair,), runs=(run(HOSTILE, status="failed"),)))
    names = " ".join(name for pair in found for name in pair)

    assert '<script>alert("x")</script>' in names
    assert "]]>" in names
    assert "\\x00" in names


def times(report: Report) -> dict[str, float]:
    """Seconds of each test case by name; they add up to those of the whole."""
    found = JUnitXml.fromstring(junit(report))
    tests = [case for suite in found for case in suite]
    assert found.time == pytest.approx(sum(case.time for case in tests), abs=1e-6)
    return {case.name: case.time for case in tests}


def test_durations_are_those_of_runs_and_add_up_to_the_command() -> None:
    """A run counts once, the reference and the start-up belong to `verdict`."""
    report = small_report(
        comparisons=(
            IDENTICAL,
            DIFFERENT,
            DIFFERENT.model_copy(update={"reference": "accelerated"}),
        ),
        runs=(run("plain"), run("accelerated", wall_s=3.5), run("trainer", wall_s=4.0)),
        origin=ORIGIN.model_copy(update={"took_s": 20.0}),
    )
    assert {
        "verdict": 12.5,
        "accelerated against plain": 3.5,
        "trainer against plain": 4.0,
        "trainer against accelerated": 0.0,
    } == times(report)
    # Trainings that ran at the same time may take longer than the command.
    assert 0.0 == times(report.model_copy(update={"origin": None}))["verdict"]


def test_pairs_of_a_bench_share_its_time() -> None:
    """It took 60 s."""
    found = times(bench_report(origin=ORIGIN.model_copy(update={"took_s": 61.5})))
    assert {
        "verdict": 1.5,
        "trainer against plain": 30.0,
        "accelerated against plain": 30.0,
    } == found


def test_values_and_speed_of_a_pair_have_two_names() -> None:
    """A CI keeps one result for each name, so the second would hide the first."""
    timed = speed("trainer", "slower", 1.05, (1.03, 1.07))
    found = cases(bench_report(comparisons=(DIFFERENT, timed)))
    assert {"trainer against plain", "trainer against plain: speed"} == {
        name for case, name in found if case == "tiny"
    }


def test_the_file_is_read_from_disk(tmp_path: Path) -> None:
    """As a CI does it; several seeds without an answer among them."""
    write(seeds_report(), tmp_path, ["junit"])
    found = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (2, 1) == (found.tests, found.errors)
