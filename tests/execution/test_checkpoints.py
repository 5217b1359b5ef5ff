"""A run that is ended and resumed computes what it would have computed, or says where not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.comparison.run import run_cases
from harness.errors import SpecError
from harness.execution.checkpoints import Checkpoints, Seal
from harness.results.comparison import Comparison
from harness.results.record import Counts, Header, RecordWriter, RunRecord
from harness.spec.case import Case, RunSpec
from harness.spec.request import RunRequest
from tests.faults.mutations import path_of
from tests.support.records import draft, spec
from tests.support.small_runs import small_case, train, write_pairs

LOOPS = ["plain", "accelerated", "trainer"]


def written(folder: Path, *steps: int, loop: str = "plain") -> Checkpoints:
    """Sealed checkpoints of a run at these steps, with the traces of a draft up to each."""
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.folder.mkdir(parents=True)
    writer, rows = RecordWriter(folder), draft().rows
    seal, before = None, 0
    for step in steps:
        for row in rows["steps"]:
            if before < row["step"] <= step:
                writer.add("steps", **row)
        path = checkpoints.folder / f"checkpoint-{step}"
        path.mkdir()
        (path / "weights").write_bytes(bytes([step]) * 100)
        checkpoints.set_aside(0, Counts(steps=step), writer)
        seal = checkpoints.seal(path, spec(loop), step, seal)
        before = step
    return checkpoints


def newest(checkpoints: Checkpoints, asked: RunSpec | None = None) -> Seal:
    """The newest whole one."""
    seal, _ = checkpoints.newest(asked or spec())
    assert seal is not None
    return seal


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    """With its counts, and the traces of all that came before it."""
    seal = newest(written(tmp_path, 2, 4))
    assert (4, ("traces-2", "traces-4")) == (seal.step, seal.traces)
    assert "checkpoint-4" == seal.checkpoint


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    """A folder that is not there holds none."""
    assert (None, []) == Checkpoints(tmp_path / "nothing").newest(spec())


DAMAGE = {
    "cut off": lambda folder: (folder / "checkpoint-4" / "weights").write_bytes(b"\x04"),
    "a byte changed": lambda folder: (folder / "checkpoint-4" / "weights").write_bytes(
        bytes([4]) * 99 + b"\x05"
    ),
    "a file gone": lambda folder: (folder / "checkpoint-4" / "weights").unlink(),
    "a trace gone": lambda folder: (folder / "traces-4" / "0" / "steps.parquet").unlink(),
    "no seal": lambda folder: (folder / "checkpoint-4.json").unlink(),
    "half a seal": lambda folder: (folder / "checkpoint-4.json").write_text('{"step": 4'),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_what_is_not_whole_is_passed_over(how: str, tmp_path: Path) -> None:
    """The one before is taken instead, and the damaged one is named where it had a seal."""
    checkpoints = written(tmp_path, 2, 4)
    DAMAGE[how](checkpoints.folder)
    seal, words = checkpoints.newest(spec())
    assert seal is not None
    assert 2 == seal.step
    assert (how != "no seal") == any("checkpoint-4" in word for word in words)
    checkpoints.clear_after(seal)
    left = {path.name for path in checkpoints.folder.iterdir()}
    assert {"checkpoint-2", "checkpoint-2.json", "traces-2"} == left


def test_only_the_last_two_are_kept_but_every_trace(tmp_path: Path) -> None:
    """Disk stays flat; the record needs all traces."""
    checkpoints = written(tmp_path, 1, 2, 3, 4)
    left = {path.name for path in checkpoints.folder.iterdir()}
    assert {"checkpoint-3", "checkpoint-3.json", "checkpoint-4", "checkpoint-4.json"} == {
        name for name in left if name.startswith("checkpoint")
    }
    assert {f"traces-{step}" for step in (1, 2, 3, 4)} <= left


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    """The line names the field with both values; a note on the case is no part of the run."""
    checkpoints = written(tmp_path, 2)
    other = spec().recipe.model_copy(update={"learning_rate": 1e-4})
    with pytest.raises(SpecError, match=r"recipe\.learning_rate is 5e-05 \(met 0\.0001\)"):
        checkpoints.newest(spec().model_copy(update={"recipe": other}))
    noted = spec().case.model_copy(update={"note": "other words"})
    assert 2 == newest(checkpoints, asked=spec().model_copy(update={"case": noted})).step


def test_another_run_may_start_from_it(tmp_path: Path) -> None:
    """With another recipe, from the newest whole one; not by another loop, not to save its own, and
    not from nothing."""
    checkpoints = written(tmp_path, 2, 4)
    changed = spec().recipe.model_copy(update={"eval_every": 3})
    asked = spec(recipe=changed)
    assert 4 == checkpoints.of_another_run(asked).step
    with pytest.raises(SpecError, match="only the loop that wrote a checkpoint reads it: plain"):
        checkpoints.of_another_run(spec("trainer"))
    saving = spec(recipe=changed.model_copy(update={"save_every": 2}))
    with pytest.raises(SpecError, match="writes none"):
        checkpoints.of_another_run(saving)
    with pytest.raises(SpecError, match="a complete checkpoint"):
        Checkpoints(tmp_path / "nothing").of_another_run(asked)


def test_traces_set_aside_are_read_back_in_order(tmp_path: Path) -> None:
    """A record that went through three processes holds every row once, in its order."""
    rows = draft().rows["steps"]
    checkpoints = written(tmp_path, 2, 4)
    seal = newest(checkpoints)
    writer = RecordWriter(tmp_path)
    assert 4 == checkpoints.take_up(seal, 0, writer).steps
    for row in rows[4:]:
        writer.add("steps", **row)
    writer.close(Header(**draft().header))
    assert rows == RunRecord(tmp_path).steps.to_pylist()
    assert not list(tmp_path.glob(".last-*"))


def resumed(case: Case, loops: list[str], out: Path) -> dict[str, Comparison]:
    """Each loop against itself resumed, by the candidate's label."""
    request = RunRequest(cases=(case,), loops=tuple(loops), out=out, keep_going=True)
    report, _ = run_cases(request, Console(quiet=True))
    return {pair.candidate: pair for pair in report.comparisons}


PLACES: dict[str, tuple[int, int, dict[str, Any]]] = {
    # 6 batches an epoch.
    "mid-epoch": (4, 4, {"num_workers": 2, "eval_every": 2}),
    "epoch-end": (6, 6, {}),
    # 8 batches an epoch at 3 a window: 3 steps an epoch, the last window has 2.
    "inside-a-window": (
        4,
        3,
        {
            "gradient_accumulation_steps": 3,
            "per_device_batch_size": 6,
            "save_every": 3,
            "eval_every": 2,
            "optimizer": "sgd",
            "learning_rate": 0.05,
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("resume_at", "taken_up", "recipe"), PLACES.values(), ids=PLACES)
def test_a_resumed_run_is_the_uninterrupted_one(
    resume_at: int, taken_up: int, recipe: dict[str, Any], tmp_path: Path
) -> None:
    """For each loop, through the death of its process, every value of every step is the same."""
    case = small_case(write_pairs(tmp_path / "data"), **recipe)
    case = case.model_copy(update={"resume_at": resume_at})
    pairs = resumed(case, LOOPS, tmp_path / "out")
    for loop in LOOPS:
        found = pairs[f"{loop}-resumed"]
        assert (loop, "identical", ()) == (found.reference, found.outcome, found.doubts), found
        folder = tmp_path / "out" / "records" / f"paraphrase-{loop}-resumed"
        assert (taken_up,) == RunRecord(folder).header.resumed_from
        assert not (folder / "checkpoints").exists()


@pytest.mark.slow
def test_a_resume_that_goes_wrong_is_found_where_it_does(tmp_path: Path) -> None:
    """Generators left alone show at the first step after the resume; no checkpoint is a failure."""
    case = small_case(write_pairs(tmp_path / "data")).model_copy(update={"resume_at": 4})
    faults = [path_of(n) for n in ("resume_forgets_generators", "never_saves")]
    pairs = resumed(case, faults, tmp_path / "out")
    first = pairs["resume_forgets_generators-resumed"].first_divergence
    assert first is not None
    assert (5, "rng") == (first.step, first.stage)
    doubts = pairs["never_saves-resumed"].doubts
    assert "incomparable" == pairs["never_saves-resumed"].outcome
    assert any("it reported no checkpoint to the probe" in doubt for doubt in doubts)


@pytest.mark.slow
def test_a_checkpoint_that_was_cut_off_is_never_loaded(tmp_path: Path) -> None:
    """Killed amid its second checkpoint, a run goes on from its first, and ends as if nothing was.

    The killed run has failed; the same command again resumes it.
    """
    case = small_case(write_pairs(tmp_path / "data"), save_every=3)
    loop, records = path_of("killed_while_saving"), tmp_path / "records"
    killed = train(case, [loop], records)["killed_while_saving"]
    assert "SIGKILL" in (killed.header.error or "")
    folder = records / "killed_while_saving" / "checkpoints"
    assert {"checkpoint-3", "checkpoint-6"} <= {path.name for path in folder.iterdir()}
    assert not (folder / "checkpoint-6.json").exists()

    again = train(case, [loop], records)["killed_while_saving"]
    plain = train(case, ["plain"], tmp_path / "plain")["plain"]
    assert ("completed", (3,)) == (again.header.status, again.header.resumed_from)
    assert plain.steps.equals(again.steps)
    assert plain.micro_batches.equals(again.micro_batches)
    assert plain.tensors.num_rows == again.tensors.num_rows
    assert plain.header.evaluations == again.header.evaluations


@pytest.mark.slow
def test_an_interrupted_run_goes_on_by_resume_and_by_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by its user, a run keeps its checkpoint; another recipe there is refused at once."""
    data = write_pairs(tmp_path / "data")
    case = small_case(data, save_every=3, num_epochs=4)
    out = tmp_path / "out"

    def stop_at_a_checkpoint(number: int, event: dict[str, Any]) -> None:
        if event["event"] == "step" and list(out.glob("records/*/checkpoints/*.json")):
            os.kill(os.getpid(), signal.SIGINT)

    class Stopping:
        """Stands for the bars, and presses Ctrl-C."""

        def __enter__(self) -> Any:
            return stop_at_a_checkpoint

        def __exit__(self, *_: object) -> None:
            pass

    def run(chosen: Case) -> Any:
        request = RunRequest(cases=(chosen,), loops=("plain",), out=out, resume=True)
        return run_cases(request, Console(quiet=True))

    with monkeypatch.context() as patched:
        patched.setattr("harness.comparison.run.bars", lambda _runs, _console: Stopping())
        with pytest.raises(KeyboardInterrupt):
            run(case)
    record = out / "records" / "paraphrase-plain"
    stopped = json.loads((record / "record.json").read_text())
    assert "interrupted" == stopped["status"]

    with pytest.raises(SpecError, match=r"recipe\.seed is 42 \(met 43\)"):
        run(small_case(data, save_every=3, num_epochs=4, seed=43))
    assert stopped == json.loads((record / "record.json").read_text())

    run(case)
    header = RunRecord(record).header
    assert "completed" == header.status
    assert stopped["steps"] >= header.resumed_from[0] >= 3
    whole = train(case, ["plain"], tmp_path / "whole")["plain"]
    assert whole.steps.equals(RunRecord(record).steps)


@pytest.mark.slow
def test_a_resume_after_the_end_is_refused(tmp_path: Path) -> None:
    """There is nothing left to resume after the last step."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=4)
    with pytest.raises(SpecError, match=r"before its last step, 4 \(met 4\)"):
        train(case, ["plain"], tmp_path / "records", resume_at=4)
