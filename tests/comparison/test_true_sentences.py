"""Sentences over random differences of two records: every count and number is that of the records.

The reference is called alpha, the candidate beta.
"""

from __future__ import annotations

import math
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.comparison.compare import compare
from harness.comparison.describe import order_detail, rate_detail
from harness.comparison.factors import gradient_detail, update_detail
from harness.report.text.causes import reasons
from harness.report.text.summary import sentence
from harness.results.comparison import Comparison
from harness.results.divergence import Divergence
from harness.results.record import Observation, RunRecord
from harness.units import number
from tests.support.evidence import evident
from tests.support.records import STEPS, TENSORS, Draft

LABELS = "alpha", "beta"
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ROWS = st.lists(st.integers(-1, 12), min_size=1, max_size=6)


@QUICK
@given(reference=ROWS, candidate=ROWS)
def test_the_rows_of_a_batch_are_counted_and_named_truly(
    reference: list[int], candidate: list[int]
) -> None:
    """Missing rows are only in the reference, others only in the candidate; the counts add up."""
    assume(Counter(reference) != Counter(candidate))
    text = order_detail(reference, candidate)
    counted = {"missing": 0, "unexpected": 0, "repeated": 0}
    sizes = re.match(r"(\d+) rows? against (\d+): ", text)
    if sizes:
        assert (len(candidate), len(reference)) == (int(sizes[1]), int(sizes[2]))
    else:
        assert len(candidate) == len(reference)
    for part in text.removeprefix(sizes[0] if sizes else "").split("; "):
        kind = next(word for word in counted if word in part)
        often = re.search(r"repeated (\d+) times in all", part)
        listed = re.findall(r"\brows? (\d+(?:, \d+)*)", part)
        named = [int(row) for rows in listed for row in rows.split(", ")]
        whole = [int(count) for count in re.findall(r"(\d+) rows?\b", part)]
        counted[kind] += int(often[1]) if often else len(named) + sum(whole)
        for row in named:
            here, there = reference.count(row), candidate.count(row)
            assert here > there if kind == "missing" else there > here, text
    assert "-1" not in text
    gone = sum((Counter(reference) - Counter(candidate)).values())
    new = sum((Counter(candidate) - Counter(reference)).values())
    assert (gone, new) == (counted["missing"], counted["unexpected"] + counted["repeated"]), text


NORM = st.sampled_from([None, 0.0, 1e-9, 0.5, 2.0])


@QUICK
@given(
    norms=st.lists(st.tuples(NORM, NORM), min_size=3, max_size=3),
    factor=st.sampled_from([1.0, 2.0, 0.25, 1.00002, 3.1]),
)
def test_gradients_are_counted_and_their_owner_named_truly(
    tmp_path: Path, norms: list[tuple[float | None, float | None]], factor: float
) -> None:
    """No count exceeds the tensors that there are, and a factor is a ratio of two norms."""
    runs = [evident(), evident()]
    for side, made in enumerate(runs):
        pairs = dict(zip(TENSORS, (pair[side] for pair in norms), strict=True))
        scale = factor if side else 1.0
        made.rows["norms"] = [
            {**row, "gradient": pairs[row["tensor"]] * scale}  # type: ignore[operator]  # not None
            for row in made.rows["norms"]
            if row["step"] == 1 and pairs[row["tensor"]] is not None
        ]
    assume(all(made.rows["norms"] for made in runs))
    records = written(tmp_path, *runs)
    text = gradient_detail(*records, 1, 3)
    held = [{row["tensor"]: row["gradient"] for row in made.rows["norms"]} for made in runs]
    for some, total in re.findall(r"(\d+) of (\d+) tensors", text):
        assert int(some) < int(total) <= len(held[0].keys() & held[1].keys()), text
    for total in re.findall(r"all (\d+) tensors", text):
        assert int(total) == len(
            [n for n in held[0] if n in held[1] and (held[0][n] or held[1][n])]
        ), text
    assert "factor 1 (" not in text
    assert "factor, 1 (" not in text
    for shown in re.findall(r"factor,? ([0-9.e+-]+) \(", text):
        ratios = [held[1][n] / held[0][n] for n in held[0] if held[0][n] and n in held[1]]
        assert any(math.isclose(float(shown), ratio, rel_tol=1e-3) for ratio in ratios), text
    for what, value in (("no gradient", None), ("a gradient of zero", 0.0)):
        found = re.search(rf"(\S+) has {what} in the (reference|candidate) only", text)
        if found:
            side = ["reference", "candidate"].index(found[2])
            assert held[side].get(found[1]) == value, text
            assert held[1 - side][found[1]] > 0, text


@QUICK
@given(
    reference=st.lists(st.sampled_from([0.0, 1e-5, 2e-5, 5e-5]), min_size=3, max_size=3),
    candidate=st.lists(st.sampled_from([0.0, 1e-5, 2e-5, 5e-5]), min_size=3, max_size=3),
)
def test_the_rates_that_a_sentence_names_are_those_of_its_steps(
    reference: list[float], candidate: list[float]
) -> None:
    assume(reference != candidate)
    step = next(n for n in range(3) if reference[n] != candidate[n]) + 1
    first = Divergence(
        step=step,
        stage="learning_rate",
        reference=[reference[step - 1]],
        candidate=[candidate[step - 1]],
    )
    text = rate_detail(first, reference, candidate)
    found = re.findall(r"(\S+) against (\S+) at step (\d)", text)
    assert str(step) == found[0][2]
    for ours, theirs, at in found:
        assert ours == number(candidate[int(at) - 1]), text
        assert theirs == number(reference[int(at) - 1]), text
        assert ours != theirs, text
    for ratio in re.findall(r"reference is (\S+) from", text):
        later = zip(reference[step - 1 :], candidate[step - 1 :], strict=True)
        assert all(math.isclose(b / a, float(ratio), rel_tol=1e-3) for a, b in later), text


@QUICK
@given(scales=st.tuples(*[st.sampled_from([1.0, 0.5, 0.125])] * 2))
def test_who_scales_its_gradients_is_named_truly(
    tmp_path: Path, scales: tuple[float, float]
) -> None:
    runs = [evident(), evident()]
    for made, scale in zip(runs, scales, strict=True):
        for row in made.rows["norms"]:
            row["applied"] = None if row["gradient"] is None else row["gradient"] * scale
    text = update_detail(*written(tmp_path, *runs), 1)
    if scales[0] == scales[1]:
        assert text == ""
        return
    one, two = text.split("the candidate ")
    for part, scale in ((one, scales[0]), (two, scales[1])):
        if scale == 1.0:
            assert "does not change its gradients" in part
        else:
            assert f"by {number(scale)}" in part


def change_rates(made: Draft) -> None:
    for row in made.rows["steps"]:
        row["learning_rate"] = [5e-5]


def change_order(made: Draft) -> None:
    for number_of, row in enumerate(made.rows["micro_batches"]):
        row["sample_ids"] = [(number_of * 4 + place) % 24 for place in range(4)]


def unclip(made: Draft) -> None:
    for row in made.rows["norms"]:
        row["applied"] = row["gradient"]
    for row in (*made.rows["steps"], *made.rows["tensors"]):
        if row["step"]:
            row["weights" if "weights" in row else "weight"] ^= 1


def leave_gradients(made: Draft) -> None:
    made.header["observed"] = {"gradients_left_over": [Observation(step=2, value=1.0)]}
    for row in (*made.rows["steps"], *made.rows["tensors"]):
        if row["step"] > 1:
            row["gradients" if "gradients" in row else "gradient"] ^= 1


def draw_before(made: Draft) -> None:
    made.header["settings"] |= {"rng.draws_at_watch": 4, "rng.draws_since_seed": 6}
    for row in made.rows["micro_batches"]:
        row["rng"] ^= 1


def end_early(made: Draft) -> None:
    made.cut(4)


FAULTS = [change_rates, change_order, unclip, leave_gradients, draw_before, end_early]


@QUICK
@given(faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=3, unique=True))
def test_a_fault_has_the_same_owner_whichever_run_is_the_reference(
    tmp_path: Path, faults: list[Callable[[Draft], None]]
) -> None:
    """Its sentence names the run with the fault first, and the same causes are found."""
    found = []
    for faulty in (0, 1):
        runs = [evident(), evident()]
        for fault in faults:
            fault(runs[faulty])
        found.append(compare(*written(tmp_path, *runs), LABELS))
    one, two = found
    assert "different" == one.outcome == two.outcome
    assert sorted(each.id for each in one.causes) == sorted(each.id for each in two.causes)
    for each in one.causes:
        other = next(cause for cause in two.causes if cause.id == each.id)
        ours = each.evidence.replace("alpha", "\0").replace("beta", "alpha").replace("\0", "beta")
        if each.id not in ("clip-norm-differs", "sampler-differs"):  # of both runs alike
            assert first_label(ours) == first_label(other.evidence)
    check_counts(one)
    check_counts(two)


def first_label(text: str) -> str:
    labels: list[str] = re.findall(r"alpha|beta", text)
    return labels[0]


def check_counts(found: Comparison) -> None:
    """No sentence says that more differ than there are, that something is 1 times as large, or
    names a row or value -1."""
    for text in [sentence(found), *reasons(found)]:
        for some, total in re.findall(r"(\d+) of (\d+)", text):
            assert int(some) <= int(total), text
        false = r"\b1 times\b|factor,? 1 \(|row -1|\b1 (rows|tensors|steps)\b"
        assert not re.search(false, text), text
    for stage in found.stages:
        assert stage.differing <= max(stage.compared, STEPS * 4)


def written(folder: Path, one: Draft, two: Draft) -> tuple[RunRecord, RunRecord]:
    """The records of a reference and a candidate, in the place of those before."""
    shutil.rmtree(folder / "pair", ignore_errors=True)
    return one.write(folder / "pair" / "alpha"), two.write(folder / "pair" / "beta")


@pytest.mark.parametrize("text", ["41 of 39 tensors differ", "1 times the reference's", "row -1"])
def test_the_check_of_counts_finds_a_false_sentence(text: str, tmp_path: Path) -> None:
    """The control: each false sentence of this kind is refused."""
    runs = [evident(), evident()]
    unclip(runs[1])
    found = compare(*written(tmp_path, *runs), LABELS)
    assert found.first_divergence is not None
    false = found.model_copy(
        update={"first_divergence": found.first_divergence.model_copy(update={"detail": text})}
    )
    check_counts(found)
    with pytest.raises(AssertionError):
        check_counts(false)
