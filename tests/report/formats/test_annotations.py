"""At most ten annotations, the worst first, whatever the texts of a record hold."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, get_args

import pytest

from harness.report.formats.annotations import (
    LIMIT,
    MESSAGE_BYTES,
    Annotation,
    annotations_of,
    cut,
    workflow_command,
)
from harness.report.text.summary import without_out
from harness.results.regression import CheckItem, CheckResult, Listed, UsedBaseline
from harness.results.report import Report, Verdict
from tests.support.small_report import AWKWARD, DIFFERENT, IDENTICAL, run, small_report

CHECK = (
    *("harness", "check", "tiny", "--baseline", "base lines"),
    *("--out", "/somewhere/gate", "--budget=60"),
)


def item(listed: Listed, **changes: Any) -> CheckItem:
    """One thing on a list of the gate."""
    given: dict[str, Any] = {
        "case": "tiny",
        "loop": "trainer",
        "metric": "step_time_ratio",
        "tier": "speed",
        "listed": listed,
        "sentence": f"it is {listed}",
        **changes,
    }
    return CheckItem(**given)


def gated(*items: CheckItem, verdict: Verdict = "regression", **changes: Any) -> Report:
    """A report of a check."""
    used = UsedBaseline(
        case="tiny",
        file="tiny@x.json",
        machine_class="cpu-8-epyc",
    )
    gate = CheckResult(items=items, baselines=(used,), **changes)
    made = small_report(comparisons=(IDENTICAL,), verdict=verdict, command=CHECK)
    return made.model_copy(update={"gate": gate}).kept_in(Path("/somewhere/gate"))


def test_an_agreeing_report_has_none() -> None:
    """And one that differs has: the control."""
    assert [] == annotations_of([small_report(comparisons=(IDENTICAL,), verdict="equivalent")])
    assert [] == annotations_of([gated(item("unchanged"), verdict="equivalent")])
    assert [] != annotations_of([small_report(comparisons=(DIFFERENT,))])


def test_a_regression_has_its_size_and_its_remedy() -> None:
    """It has both commands, without the folder of the build, and quoted for a shell."""
    worse = item("regressed", ratio=1.104, sentence="10.4% slower (95% interval 8% to 13%)")
    (found,) = annotations_of([gated(worse, moved_together="all moved alike")])

    assert "error" == found.level
    assert "tiny, trainer: step_time_ratio regressed (+10.4%)" == found.title
    assert [
        "10.4% slower (95% interval 8% to 13%)",
        "all moved alike",
        "Reproduce: harness check tiny --baseline 'base lines' --budget=60",
        "If the change is intended, accept it: harness accept gate --baseline 'base lines' "
        "--reason 'WHY'",
    ] == found.message.splitlines()


def test_the_title_has_numbers_if_there_is_no_ratio() -> None:
    """As for steps; texts do not."""
    steps = item("regressed", tier="exact", metric="steps", before=100, now=101)
    words = item("regressed", tier="exact", metric="loss_trace", before="ab", now="cd")
    titles = [one.title for one in annotations_of([gated(steps, words)])]

    assert titles[0].endswith("steps regressed (100 to 101)")
    assert titles[1].endswith("loss_trace regressed")


@pytest.mark.parametrize(
    ("listed", "file", "words"),
    [
        ("not_comparable", "tiny@x.json", "on this machine (class cpu-8-epyc): "),
        ("missing", None, "on this machine: "),
    ],
)
def test_where_there_is_no_baseline_of_this_machine_one_is_made(
    listed: Listed, file: str | None, words: str
) -> None:
    """By a bench of the same loops, of which the two commands are given."""
    report = gated(item(listed, tier="baseline"), verdict="no_verdict")
    assert report.gate is not None
    used = report.gate.baselines[0].model_copy(update={"file": file})
    gate = report.gate.model_copy(update={"baselines": (used,)})
    command = (*CHECK, "--exact-only", "--visible", "5%")
    (found,) = annotations_of([report.model_copy(update={"gate": gate, "command": command})])

    assert "warning" == found.level
    assert [
        f"Make a baseline {words}harness bench tiny --budget=60 --out first",
        "Inspect it, then accept it: harness accept first --baseline 'base lines' --reason 'WHY'",
    ] == found.message.splitlines()[-2:]


def test_the_worst_comes_first() -> None:
    """A run that failed, what regressed (exact before speed, the larger first), what differs, what
    is not known, and what is better; over several reports."""
    gate = gated(
        item("improved", ratio=0.8),
        item("inconclusive"),
        item("missing", tier="baseline"),
        item("regressed", ratio=1.1),
        item("regressed", ratio=1.5),
        item("regressed", tier="exact", metric="steps"),
    )
    broken = run("mine", status="failed", error="boom")
    other = small_report(comparisons=(DIFFERENT,), runs=(run("plain"), broken), verdict="failed")
    found = annotations_of([gate, other])

    assert ["failed", "steps", "+50.0%", "+10.0%", "different"] == [
        next(word for word in ("failed", "steps", "+50.0%", "+10.0%", "different") if word in title)
        for title in (one.title for one in found[:5])
    ]
    assert ["missing", "inconclusive", "improved (-20.0%)"] == [
        one.title.split("step_time_ratio ")[1] for one in found[5:]
    ]
    assert "boom" in found[0].message
    assert [*["error"] * 5, "warning", "warning", "notice"] == [one.level for one in found]


@pytest.mark.parametrize("count", [9, 10, 11, 500])
def test_there_are_at_most_ten(count: int) -> None:
    """The tenth counts the rest, and is an error where one of them is."""
    items = [item("regressed", ratio=1 + one / 100) for one in range(count)]
    found = annotations_of([gated(*items)])

    assert min(count, LIMIT) == len(found)
    assert f"+{count - 1}.0%" in found[0].title
    if count > LIMIT:
        assert Annotation("error", f"{count - 9} more", found[-1].message) == found[-1]
        assert f"{count - 9} of them errors" in found[-1].message


def test_every_report_that_is_not_green_has_an_annotation() -> None:
    """Every list of the gate but `unchanged`, and every verdict without anything to point at."""
    for listed in get_args(Listed):
        level = "notice" if listed == "improved" else "warning"
        found = annotations_of([gated(item(listed), verdict="equivalent")])
        assert (listed == "unchanged") == (found == [])
        assert all(one.level in (level, "error") for one in found)
    for verdict in get_args(Verdict):
        found = annotations_of([small_report(comparisons=(), runs=(), verdict=verdict)])
        assert (verdict == "equivalent") == (found == [])
        expected = "warning" if verdict == "no_verdict" else "error"
        assert all(one.level == expected for one in found)
        quiet = gated(item("inconclusive"), item("improved"), verdict=verdict)
        assert (expected == "error" and verdict != "equivalent") == any(
            one.level == "error" for one in annotations_of([quiet])
        )


HOSTILE = "a:b,c::d%0A%\r\n::error title=x::planted\r::stop-commands::y\n##[error]z " + AWKWARD


@pytest.mark.parametrize("where", ["title", "message"])
def test_a_text_cannot_end_a_command_or_begin_one(where: str) -> None:
    """One line, whose parts come back as they were by the rules of GitHub's runner."""
    given = {"title": "t", "message": "m", where: HOSTILE}
    line = workflow_command(Annotation("warning", **given))

    assert [line] == line.splitlines()
    assert line.startswith("::warning title=")
    command, _, message = line[2:].partition("::")
    assert "," not in command
    back = {"title": command.removeprefix("warning title="), "message": message}
    for code, character in (("0D", "\r"), ("0A", "\n"), ("3A", ":"), ("2C", ","), ("25", "%")):
        back = {name: text.replace(f"%{code}", character) for name, text in back.items()}
    assert given == back


def test_a_long_message_keeps_its_end() -> None:
    """What is cut out of its middle is marked, and no character is cut in two."""
    text = "ä" * MESSAGE_BYTES + " Reproduce: harness run"
    line = workflow_command(Annotation("error", "t", text))

    assert len(line.encode()) < MESSAGE_BYTES + 50
    assert " [...] " in line
    assert line.endswith("Reproduce: harness run")
    assert "\ufffd" not in line
    assert " [...] " not in workflow_command(Annotation("error", "t", text[-2000:]))


def test_a_page_is_cut_after_a_line_with_a_note() -> None:
    """Never longer than it may be, and whole where it fits; of nothing is left nothing."""
    page = "".join(f"zeile {number} ä\n" for number in range(1000))
    whole = len(page.encode())

    assert page == cut(page, whole)
    for limit in itertools.chain(range(200), (whole - 1, whole // 2)):
        short = cut(page, limit)
        assert len(short.encode()) <= limit
        assert short == "" or "Cut here" in short
        body = short.split("\n\n**Cut here")[0]
        assert page.startswith(body)
        assert not body or body.endswith("\n") or page[len(body)] == "\n"


def test_a_command_is_shown_without_its_folder() -> None:
    """Written either way, and where it comes last without a value."""
    assert ("a", "b") == without_out(("a", "--out", "x", "b"))
    assert ("a", "b") == without_out(("a", "--out=x", "b"))
    assert ("a",) == without_out(("a", "--out"))
    assert ("a", "--output", "x") == without_out(("a", "--output", "x"))
