"""Real runs against the measured noise of the first: rounding passes, a small fault does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from harness.comparison.compare_folders import compare_folders
from harness.comparison.run import run_cases
from harness.errors import RecordError, SpecError
from harness.results.report import REPORT_FILE
from harness.spec.registry import cases, with_settings
from harness.spec.request import RunRequest
from tests.support.small_runs import small_case, train, write_pairs

ARMS = {
    "foreach": {"optimizer_flavour": "foreach"},
    "eager": {"attention": "eager"},
    "off": {"eps": 1e-7},
}


@pytest.mark.slow
def test_rounding_is_within_noise_and_a_small_fault_is_not(tmp_path: Path) -> None:
    """Another flavour and another kernel pass; eps 1e-7 instead of 1e-8, the control, does not."""
    case = small_case(write_pairs(tmp_path / "data")).model_copy(update={"arms": ARMS, "noise": 6})
    request = RunRequest(
        cases=(case,), loops=("plain", "accelerated"), jobs=2, out=tmp_path / "out"
    )
    report, folder = run_cases(request, Console(quiet=True))
    outcomes = {(pair.reference, pair.candidate): pair.outcome for pair in report.comparisons}
    assert "identical" == outcomes["plain", "accelerated"]
    assert "within_noise" == outcomes["plain", "foreach"]
    assert "within_noise" == outcomes["plain", "eager"]
    assert "different" == outcomes["plain", "off"]
    assert "different" == report.verdict
    # Draws stand beside the other records, and are no runs of the report.
    assert ["plain", "accelerated", *ARMS] == [run.loop for run in report.runs]
    assert 6 == len(list((folder / "records").glob("*-weights-*")))
    written = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    (fields,) = [
        {field["field"]: field for field in pair["noise"]["fields"]}
        for pair in written["comparisons"]
        if (pair["reference"], pair["candidate"]) == ("plain", "off")
    ]
    assert fields["weights"]["relative"] > fields["weights"]["smallest_visible"] > 0

    # Two single records, compared with the draws of that run.
    plain = folder / "records" / "paraphrase-plain"
    for arm, outcome in (("eager", "within_noise"), ("off", "different")):
        other = folder / "records" / f"paraphrase-{arm}"
        again, _ = compare_folders(
            plain, other, tmp_path / f"compare-{arm}", ["harness"], noise=folder
        )
        assert outcome == again.comparisons[0].outcome
    bare, _ = compare_folders(plain, other, tmp_path / "bare", ["harness"])
    assert bare.comparisons[0].noise is None
    with pytest.raises(RecordError, match="draws"):
        compare_folders(plain, other, tmp_path / "none", ["harness"], noise=tmp_path / "bare")


def test_an_arm_needs_a_unique_name(tmp_path: Path) -> None:
    """An arm with the name of a loop would replace it, so it is refused before any run."""
    case = small_case(tmp_path).model_copy(update={"arms": {"plain": {}}})
    with pytest.raises(SpecError, match="each loop has its own name"):
        run_cases(
            RunRequest(cases=(case,), loops=("plain",), out=tmp_path / "out"), Console(quiet=True)
        )


def test_an_arm_sets_fields_of_the_recipe(tmp_path: Path) -> None:
    """An unknown field is refused with its name."""
    case = small_case(tmp_path).model_copy(update={"arms": {"off": {"epsilon": 1e-7}}})
    with pytest.raises(SpecError, match="epsilon"):
        run_cases(
            RunRequest(cases=(case,), loops=("plain",), out=tmp_path / "out"), Console(quiet=True)
        )


@pytest.mark.slow
def test_one_process_and_two_differ_by_rounding_alone(tmp_path: Path) -> None:
    """The same 16 rows a step on one process or two, without dropout; a rate off by 1% is a fault.

    How a step is cut into batches is no difference; which rows it took must be the same.
    """
    rows = {"model": "llama", "train_rows": 64, "eval_rows": 16, "num_epochs": 2}
    one = with_settings(cases()["causal_lm"], {**rows, "per_device_batch_size": 16})
    one = one.model_copy(update={"noise": 5})
    request = RunRequest(cases=(one,), loops=("plain", "plain"), jobs=2, out=tmp_path / "one")
    _, folder = run_cases(request, Console(quiet=True))
    plain = folder / "records" / "causal_lm-plain"
    for name, settings, outcome in (
        ("two", {}, "within_noise"),
        ("faster", {"learning_rate": 2.02e-3}, "different"),
    ):
        two = with_settings(one, {"per_device_batch_size": 8, **settings})
        two = two.model_copy(update={"world_size": 2})
        record = train(two, ["plain"], tmp_path / name, sketch=True)["plain"]
        found, _ = compare_folders(
            plain, record.folder, tmp_path / f"compare-{name}", ["harness"], noise=folder
        )
        assert (name, outcome) == (name, found.comparisons[0].outcome)
        stages = {stage.stage: stage.differing for stage in found.comparisons[0].stages}
        assert 0 == stages["data_order"]
        assert not {"batch_content", "rng"} & stages.keys()
