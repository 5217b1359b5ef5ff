"""Two processes that train one model: the loops agree; who departs, dies or hangs is named."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.comparison.compare import compare
from harness.errors import SpecError
from harness.execution.parent.runner import Run, run_all
from harness.results.ranks import gather, rank_folder, rank_of
from harness.results.record import RunRecord
from harness.spec.case import Case
from harness.spec.recipe import Recipe
from harness.training.loops._plain.batches import share
from tests.faults.mutations import path_of
from tests.support.records import Draft, compare_drafts, draft, spec
from tests.support.small_runs import comparison, small_case, train, write_pairs

LOOPS = ["plain", "accelerated", "trainer"]


def together(folder: Path, *spoilt: tuple[int, int, str], ranks: int = 2) -> RunRecord:
    """The record of processes that agree but for weights (rank, step, tensor)."""
    asked = spec()
    asked = asked.model_copy(update={"case": asked.case.model_copy(update={"world_size": ranks})})
    for rank in range(ranks):
        made = draft(spec=asked, steps_per_epoch=3)
        for on, step, tensor in spoilt:
            if on == rank:
                made.tensor(step, tensor)["weight"] ^= 1
        made.write(rank_folder(folder, rank))
    gather(folder, ranks)
    return RunRecord(folder)


def test_the_records_of_two_processes_become_one(tmp_path: Path) -> None:
    """Micro-batches stand in the order of micro-batch, then rank; counts are those of both."""
    record = together(tmp_path)
    alone = draft()
    assert 2 * alone.header["micro_batches"] == record.header.micro_batches
    assert 2 * alone.header["samples"] == record.header.samples
    assert len(alone.rows["steps"]) == len(record.steps)
    assert [1, 2, 3, 4] == record.micro_batches["micro_batch"].to_pylist()[:4]
    ids = [alone.micro_batch(1, number)["sample_ids"] for number in (1, 1, 2, 2)]
    assert ids == record.micro_batches["sample_ids"].to_pylist()[:4]
    assert [(0, 1), (1, 1), (0, 2), (1, 2)] == [rank_of(number, 2) for number in (1, 2, 3, 4)]
    assert 0 == len(record.dissent)
    assert not (tmp_path / "ranks").exists()


def test_what_both_processes_saw_counts_as_repeated(tmp_path: Path) -> None:
    """Both drafts read the same rows, so half of all samples had been seen in their epoch."""
    header = together(tmp_path).header
    assert header.samples // 2 == header.repeated_samples


def test_who_was_stopped_stands_before_who_lost_it(tmp_path: Path) -> None:
    """An error of its own comes first, then a stop, then what others saw of either."""
    asked = spec()
    asked = asked.model_copy(update={"case": asked.case.model_copy(update={"world_size": 3})})
    ends = [
        ("failed", "RuntimeError: Connection closed by peer"),
        ("interrupted", "stopped by the user"),
        ("failed", "ValueError: no"),
    ]
    for ranks, expected in ((2, "rank 1: stopped by the user"), (3, "rank 2: ValueError: no")):
        for rank, (status, error) in enumerate(ends[:ranks]):
            made = draft(spec=asked, status=status, error=error)
            made.write(rank_folder(tmp_path / str(ranks), rank))
        gather(tmp_path / str(ranks), ranks)
        assert expected == RunRecord(tmp_path / str(ranks)).header.error


def test_a_process_that_parts_is_named_with_step_and_tensor(tmp_path: Path) -> None:
    """One bit of one weight on rank 1 at step 4: found there, and the record is doubted."""
    clean = together(tmp_path / "clean")
    parted = together(tmp_path / "parted", (1, 4, "classifier.bias"))
    found = compare(clean, parted, ("clean", "parted"))
    first = found.first_divergence
    assert first is not None
    assert ("different", 4, "weights", 1, "classifier.bias") == (
        found.outcome, first.step, first.stage, first.rank, first.tensor,
    )  # fmt: skip
    doubt = "its processes diverge at step 4: rank 1 differs from rank 0 in classifier.bias"
    assert any(doubt in each for each in found.doubts)
    alike = compare(parted, parted, ("one", "two"))
    assert "inconclusive" == alike.outcome


def test_other_numbers_of_processes_are_compared_by_whole_steps(tmp_path: Path) -> None:
    """Rows and mean loss of a step, whoever read them; a row that only one side read shows."""
    one, two = draft(), together(tmp_path / "two")
    alone = one.write(tmp_path / "one")
    first = compare(alone, two, ("one", "two")).first_divergence
    assert first is not None
    assert (1, "data_order", None) == (first.step, first.stage, first.micro_batch)
    assert 2 * len(first.reference) == len(first.candidate)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 16, 19, 32, 33])
@pytest.mark.parametrize("world_size", [2, 3])
def test_whole_batches_are_dealt_as_accelerate_does(
    rows: int, world_size: int, drop_last: bool
) -> None:
    """For every size each process reads the very rows that Accelerate's sampler gives it."""
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler

    recipe = Recipe(per_device_batch_size=4, drop_last=drop_last)
    order = list(range(100, 100 + rows))
    for rank in range(world_size):
        whole = BatchSampler(order, 4, drop_last)
        shard = BatchSamplerShard(whole, world_size, rank)
        expected = [row for batch in shard for row in batch]
        assert expected == share(order, recipe, rank, world_size)


@pytest.mark.parametrize("rows", [7, 16, 19])
def test_strided_rows_are_those_of_the_distributed_sampler(rows: int) -> None:
    """Every so many-th row, with rows of the beginning where the last round is short."""
    from torch.utils.data import DistributedSampler

    recipe = Recipe(sharding="strided")
    for rank in range(3):
        sampler: Any = DistributedSampler
        expected = list(sampler(range(rows), 3, rank, shuffle=False))
        assert expected == share(list(range(rows)), recipe, rank, 3)
    assert share(list(range(rows)), recipe, 0, 3) != share(list(range(rows)), Recipe(), 0, 3)


def two(folder: Path, **settings: Any) -> Case:
    """The small case on two processes."""
    return small_case(write_pairs(folder / "data"), **settings).model_copy(update={"world_size": 2})


@pytest.mark.slow
def test_loops_on_two_processes_are_identical(tmp_path: Path) -> None:
    """With dropout, accumulation in a short window, a clip that bites and evaluations between."""
    case = two(
        tmp_path,
        gradient_accumulation_steps=2,
        max_grad_norm=0.05,
        compile="eager",
        padding="max_length",  # of few shapes, so it is translated few times
        max_length=48,
        eval_every=2,
        optimizer="sgd",
        learning_rate=0.05,
    )
    records = train(case, LOOPS, tmp_path / "records")
    for candidate in LOOPS[1:]:
        found = comparison(records, "plain", candidate)
        assert ("identical", 4, ()) == (found.outcome, found.steps, found.doubts), found
    # 44 rows at 8 on two processes: the third round is filled up with 4 rows.
    assert (2 * 48, 2 * 4) == tuple(
        getattr(records["plain"].header, name) for name in ("samples", "repeated_samples")
    )


@pytest.mark.slow
def test_one_ulp_on_one_rank_is_found_there(tmp_path: Path) -> None:
    """Its step, stage, tensor and rank are named; and so is the factor of an undivided loss."""
    case = two(tmp_path)
    undivided = case.model_copy(update={"overrides": {"trainer": {"loss_average": "model"}}})
    records = train(case, ["plain", path_of("one_ulp_on_rank_1")], tmp_path / "one")
    first = comparison(records, "plain", "one_ulp_on_rank_1").first_divergence
    assert first is not None
    assert (3, "weights", 1, "classifier.bias") == (
        first.step, first.stage, first.rank, first.tensor,
    )  # fmt: skip

    stock = train(undivided, ["plain", "trainer"], tmp_path / "two")
    found = comparison(stock, "plain", "trainer")
    assert "different" == found.outcome
    ratio = next(f.ratio for f in found.findings if f.metric == "first_grad_norm")
    assert 2 == pytest.approx(ratio, rel=1e-6)


ENDINGS = {
    "rank_1_killed": "rank 1 of 2 ended with signal SIGKILL",
    "rank_1_out_of_memory": "rank 1: MemoryError: no room for 1e15 bytes",
    "rank_1_hangs": "rank 1 after step 2 at",
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ENDINGS)
def test_a_rank_that_dies_or_hangs_ends_the_run(fault: str, tmp_path: Path) -> None:
    """In time, with that rank's last words, and with no process left."""
    case, before = two(tmp_path), {child.pid for child in psutil.Process().children(recursive=True)}
    from harness.spec import registry

    run = Run(registry.run_spec(case, path_of(fault)), tmp_path / "record")
    started, timeout_s = time.monotonic(), 20.0
    (record,) = run_all([run], 1, lambda _number, _event: None, timeout_s=timeout_s)
    assert time.monotonic() - started < timeout_s + 60
    assert "failed" == record.header.status
    assert ENDINGS[fault] in (record.header.error or "")
    if fault == "rank_1_hangs":
        assert "rank_1_hangs.py" in (record.header.error or "")
        assert "time.sleep(3600)" in (record.header.traceback or "")
    left = {child.pid for child in psutil.Process().children(recursive=True)} - before
    names = [" ".join(psutil.Process(pid).cmdline()) for pid in left]
    # The fork server and its tracker stay with this process, and nothing of the run does.
    assert all("forkserver" in name or "resource_tracker" in name for name in names), names


@pytest.mark.slow
def test_what_a_process_cannot_do_is_refused(tmp_path: Path) -> None:
    """The refusal of every process is one line of wrong use."""
    for name, value in (("sharding", "strided"), ("sampler", "length_grouped")):
        loop = "accelerated" if name == "sharding" else "plain"
        with pytest.raises(SpecError, match=f"{name}|processes"):
            train(two(tmp_path / name, **{name: value}), [loop], tmp_path / f"records-{name}")


def test_a_pair_of_drafts_still_compares(tmp_path: Path) -> None:
    """Control: without several processes nothing of this shows."""
    made: Draft = draft()
    assert "identical" == compare_drafts(tmp_path, made, draft()).outcome


@pytest.mark.slow
def test_both_launchers_start_the_same_training(tmp_path: Path) -> None:
    """By `accelerate launch` with a configuration file the same is computed as by torchrun."""
    case = two(tmp_path, max_steps=3)
    config = tmp_path / "launch.yaml"
    config.write_text("distributed_type: MULTI_GPU\nnum_machines: 1\nmixed_precision: 'no'\n")
    records = train(case, ["plain"], tmp_path / "torchrun")
    options: dict[str, Any] = {
        "launcher": "accelerate", "launcher_config": str(config), "repeat": 2,
    }  # fmt: skip
    records |= train(case, ["plain"], tmp_path / "accelerate", **options)
    found = comparison(records, "plain", "plain-2")
    assert ("identical", 3, ()) == (found.outcome, found.steps, found.doubts), found

    config.write_text("distributed_type: MULTI_GPU\nno_such_key: 1\n")
    with pytest.raises(SpecError, match="no_such_key"):
        train(case, ["plain"], tmp_path / "broken", **options)
