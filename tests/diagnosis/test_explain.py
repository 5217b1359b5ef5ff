"""`harness explain`: real trainings, and the sentence on three loops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.diagnosis import explain
from harness.diagnosis.explain import explain_case, explain_folders
from harness.diagnosis.odd_one_out import odd_one_out
from harness.errors import SpecError
from harness.execution.parent.runner import run_all
from harness.results.explanation import Explanation
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.spec.case import Case
from tests.faults.mutations import path_of
from tests.support.records import Draft, draft
from tests.support.small_runs import small_case, train, write_pairs

QUIET = Console(quiet=True)
MATTER = {"sampler", "reseed_after_build", "max_grad_norm", "optimizer_flavour", "weight_decay"}


def of_case(
    case: Case, loops: list[str], out: Path, max_replays: int | None = None
) -> tuple[Report, list[Explanation]]:
    """A case explained in native conventions."""
    report, _ = explain_case(case, loops, "native", max_replays, 2, out, ["harness"], QUIET)
    return report, list(report.explanations)


def of_records(one: RunRecord, two: RunRecord, out: Path) -> Explanation:
    """Two records explained."""
    report, _ = explain_folders(one.folder, two.folder, None, 2, out, ["harness"], QUIET)
    (found,) = report.explanations
    return found


def fields(found: Explanation) -> set[str]:
    return {one.field for one in found.contributions}


@pytest.mark.slow
def test_native_loops_part_by_the_overrides_that_matter(tmp_path: Path) -> None:
    """Plain against the Trainer, whichever is named first: five of the plain loop's overrides, for
    at decay 0 nothing is excluded from it and one micro-batch has one average; with these the two
    are identical to the end. Too few replays are no verdict, and the next try goes on."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=4)
    out = tmp_path / "out"
    report, (found,) = of_case(case, ["plain", "trainer"], out, max_replays=6)
    assert ("no_verdict", "unfinished") == (report.verdict, found.outcome)
    assert found.cost.replays <= 6

    report, (found,) = of_case(case, ["plain", "trainer"], out)
    assert ("different", "explained") == (report.verdict, found.outcome)
    assert ("trainer", "plain") == (found.reference, found.candidate)
    assert fields(found) == MATTER
    assert {"decay_exclusions", "loss_average"} == set(found.differing) - MATTER
    assert "data_order" in found.notes[0]
    assert found.cost.reused > 0
    proof = next(c for c in report.comparisons if c.candidate == "plain, switched")
    assert ("identical", 4) == (proof.outcome, proof.steps)
    assert (True, True) == (found.minimal, found.whole)
    first, last = found.contributions[0], found.contributions[-1]
    assert ("sampler", 1, "data_order") == (first.field, first.alone.step, first.alone.stage)
    assert first.alone.weights is not None
    assert last.alone.weights is not None
    assert first.alone.weights > 10 * last.alone.weights > 0
    assert last.left is not None
    assert (None, 0.0, 0.0) == (last.left.step, last.left.loss, last.left.weights)


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["plain", "accelerated", "trainer"])
def test_a_late_difference_starts_from_a_checkpoint(loop: str, tmp_path: Path) -> None:
    """An evaluation during one run is found at its step, in short replays from just before it."""
    data = write_pairs(tmp_path / "data")
    changes = {"eval_every": 12, "data_seed": 42, "decay_exclusions": "none"}
    one = train(small_case(data, num_epochs=3), [loop], tmp_path / "one")[loop]
    two = train(small_case(data, num_epochs=3, **changes), [loop], tmp_path / "two")[loop]
    found = of_records(one, two, tmp_path / "out")

    assert ("explained", {"eval_every"}) == (found.outcome, fields(found))
    assert {"eval_every", "data_seed", "decay_exclusions"} == set(found.differing)
    (only,) = found.contributions
    assert (12, "evaluation") == (only.alone.step, only.alone.stage)
    assert (True, 18) == (found.whole, found.steps)
    assert 11 == found.window[0]
    assert found.cost.steps <= found.cost.limit
    replays = [RunRecord(path.parent) for path in (tmp_path / "out").rglob("replays/*/record.json")]
    late = [record for record in replays if record.run_spec.start_from is not None]
    assert late
    assert {(10,)} == {record.header.resumed_from for record in late}
    assert [] == list((tmp_path / "out").rglob("checkpoints"))


@pytest.mark.slow
def test_a_fault_in_code_is_not_blamed_on_a_field(tmp_path: Path) -> None:
    """Added-up gradients diverge at step 2; before it decay acts, and the data's seed never."""
    loop = path_of("forgot_zero_grad")
    data = write_pairs(tmp_path / "data")
    one = train(small_case(data), ["plain"], tmp_path / "one")["plain"]
    changed = small_case(data, weight_decay=0.01, data_seed=42)
    (two,) = train(changed, [loop], tmp_path / "two").values()
    found = of_records(one, two, tmp_path / "out")
    assert ("code", {"weight_decay"}) == (found.outcome, fields(found))
    assert found.rest is not None
    assert (2, "gradients", 1) == (found.rest.step, found.rest.stage, found.steps)

    (same,) = train(small_case(data), [loop], tmp_path / "same").values()
    bare = of_records(one, same, tmp_path / "bare")
    assert ("code", (), 0) == (bare.outcome, bare.differing, bare.cost.replays)
    assert bare.rest is not None
    assert (2, "gradients") == (bare.rest.step, bare.rest.stage)


@pytest.mark.slow
def test_of_three_loops_the_odd_one_is_explained(tmp_path: Path) -> None:
    """Two plain loops and one that does not clip; interrupted, a report of what is known stays."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=3).model_copy(
        update={"overrides": {"accelerated": {"max_grad_norm": None}}}
    )
    out = tmp_path / "out"
    report, _ = explain_case(
        case, ["plain", "accelerated", "trainer"], "matched", None, 2, out, ["harness"], QUIET
    )
    assert "accelerated is the odd one out: plain and trainer are the same" == report.odd_one_out
    (found,) = report.explanations
    assert ("plain", "accelerated") == (found.reference, found.candidate)
    assert {"max_grad_norm"} == fields(found)


@pytest.mark.slow
def test_an_interrupted_search_leaves_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C during the replays: the report is unfinished, and the next command continues."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=2)
    made = 0

    def interrupted(runs: Any, *args: Any, **options: Any) -> list[RunRecord]:
        nonlocal made
        made += 1
        if made == 4:
            raise KeyboardInterrupt
        return run_all(runs, *args, **options)

    monkeypatch.setattr(explain, "run_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        of_case(case, ["trainer", "plain"], tmp_path / "out")
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    (found,) = content["explanations"]
    assert ("no_verdict", "unfinished") == (content["verdict"], found["outcome"])
    assert MATTER <= {one["field"] for one in found["contributions"]}


def differ(step: int) -> Draft:
    """A record that diverges from the others at a step."""
    made = draft()
    made.step(step)["weights"] ^= step
    return made


def sides(folder: Path, *drafts: Draft) -> list[tuple[str, RunRecord]]:
    """Records named a, b, c."""
    names = "abc"[: len(drafts)]
    return [(n, d.write(folder / n)) for n, d in zip(names, drafts, strict=True)]


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ((None, None, None), "all three are the same"),
        ((2, None, None), "a is the odd one out: b and c are the same"),
        ((None, None, 2), "c is the odd one out: a and b are the same"),
        (
            (None, 5, 2),
            "no two of the three are the same; a and b diverge last, at step 5 in weights, so c is "
            "the odd one out",
        ),
        ((None, 3), ""),
    ],
)
def test_the_odd_one_of_three_runs_is_named(
    tmp_path: Path, steps: tuple[int | None, ...], sentence: str
) -> None:
    """If two are the same, the third is odd; otherwise the one that diverges first."""
    drafts = [draft() if step is None else differ(step) for step in steps]
    assert sentence == odd_one_out(sides(tmp_path, *drafts))


def test_other_devices_cannot_be_switched(tmp_path: Path) -> None:
    """What is no field of a recipe is refused, with both values."""
    one, two = draft(), draft()
    spec = two.header["spec"]
    two.header["spec"] = spec.model_copy(
        update={"case": spec.case.model_copy(update={"world_size": 2})}
    )
    (_, left), (_, right) = sides(tmp_path, one, two)
    with pytest.raises(SpecError, match="have the same world_size"):
        of_records(left, right, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_records_need_no_explanation(tmp_path: Path) -> None:
    """Nothing is run, so that it works without torch."""
    (_, left), (_, right) = sides(tmp_path, draft(), draft())
    assert "identical" == of_records(left, right, tmp_path / "out").outcome


def test_two_loops_with_one_recipe_are_not_explained_by_a_field(tmp_path: Path) -> None:
    """In one sentence, with the place; again without a replay."""
    (_, left), (_, right) = sides(tmp_path, draft(), differ(3))
    found = of_records(left, right, tmp_path / "out")
    assert ("code", 0) == (found.outcome, found.cost.replays)
    assert found.rest is not None
    assert 3 == found.rest.step
