"""Records of processes that hold shares: whole digests and norms, and which rank differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.results.comparison import Comparison
from harness.results.ranks import gather, rank_folder, without_partners
from harness.results.record import RunRecord
from harness.results.shares import Entry, combined, of_state, of_sum
from tests.support.records import STEPS, TENSORS, command_draft, fake_digest

SHARED, WHOLE = TENSORS[0], TENSORS[1]
_MASK = 2**64 - 1
PARTS = ("gradient", "weight", "state.exp_avg")

Row = dict[str, Any]
Change = Callable[[list[Row]], None]


def shares_of(rank: int, copy: int, holders: int) -> list[Row]:
    """The rows of one process: its share of one tensor, and an entry that it holds whole."""
    rows = []
    for step in range(STEPS + 1):
        common = {"step": step, "rank": rank, "tensor": SHARED, "copy": copy, "text": None}
        for part in PARTS if step else PARTS[1:2]:
            total = fake_digest(part, step)
            place = rank - copy
            number = fake_digest(part, step, place)
            if place == holders - 1:
                others = sum(fake_digest(part, step, other) for other in range(place))
                number = total - others & _MASK
            own = {"part": part, "sum": number, "holders": holders, "offset": 8 * place}
            rows.append(common | own)
        if step:
            rows.append(common | {"part": "state.step", "sum": step, "holders": 1, "offset": 0})
            text = {"part": "state.rule", "sum": None, "text": "'sgd'", "holders": 1, "offset": 0}
            rows.append(common | text)
    return rows


def gathered(
    folder: Path,
    copies: tuple[int, ...] = (0, 0),
    changes: dict[int, Change] | None = None,
    **header: Any,
) -> RunRecord:
    """The record of processes; `copies`: for each the first rank of its copy of the tensor."""
    for rank, copy in enumerate(copies):
        made = command_draft(world_size=len(copies))
        made.header |= {"batches_from": 0, **header}
        made.rows["shares"] = shares_of(rank, copy, copies.count(copy))
        made.rows["norms"] = [
            {"step": step, "tensor": name, "weight": None, "gradient": 3.0 + rank, "applied": 1.0}
            for step in range(1, STEPS + 1)
            for name in TENSORS
        ]
        made.rows["sketches"] = [
            {"step": 1, "tensor": name, "sketch": [1.0, float(rank)]} for name in (SHARED, WHOLE)
        ]
        if changes and rank in changes:
            changes[rank](made.rows["shares"])
        made.write(rank_folder(folder, rank))
    gather(folder, len(copies))
    return RunRecord(folder)


def compared(one: RunRecord, two: RunRecord) -> Comparison:
    return compare(one, two, ("one", "two"))


def other_sum(step: int, part: str) -> Change:
    """Another sum in one row."""

    def change(rows: list[Row]) -> None:
        row = next(row for row in rows if (row["step"], row["part"]) == (step, part))
        row["sum"] ^= 1

    return change


def test_the_digests_are_those_of_whole_tensors(tmp_path: Path) -> None:
    """By hand; a tensor without shares keeps its digests."""
    record = gathered(tmp_path)
    rows = {(row["step"], row["tensor"]): row for row in record.tensors.to_pylist()}
    row = rows[2, SHARED]
    assert of_sum(fake_digest("gradient", 2)) == row["gradient"]
    assert of_sum(fake_digest("weight", 2)) == row["weight"]
    entries: dict[str, Entry] = {
        "exp_avg": fake_digest("state.exp_avg", 2),
        "step": 2,
        "rule": "'sgd'",
    }
    assert of_state(entries) == row["optimizer_state"]
    assert fake_digest("weight", 2, WHOLE) == rows[2, WHOLE]["weight"]
    over = combined(rows[2, name]["weight"] for name in TENSORS)
    assert over == record.steps["weights"].to_pylist()[1]
    start = combined(rows[0, name]["weight"] for name in TENSORS)
    assert f"{start:016x}" == record.header.initial_weights


def test_norms_and_sketches_are_those_of_whole_tensors(tmp_path: Path) -> None:
    """By hand: 3 and 4 make 5. A tensor without shares keeps those of the first process."""
    record = gathered(tmp_path)
    norms = {row["tensor"]: row["gradient"] for row in record.norms.to_pylist()}
    assert {SHARED: 5.0} | dict.fromkeys(TENSORS[1:], 3.0) == norms
    total = (5.0**2 + (len(TENSORS) - 1) * 3.0**2) ** 0.5
    assert [total] * STEPS == pytest.approx(record.steps["grad_norm"].to_pylist())
    sketches = {row["tensor"]: row["sketch"] for row in record.trace("sketches").to_pylist()}
    assert {SHARED: [2.0, 1.0], WHOLE: [1.0, 0.0]} == sketches


def test_the_number_of_shares_does_not_matter(tmp_path: Path) -> None:
    """Two and four processes, and two copies in two shares each, hold the same tensor."""
    two = gathered(tmp_path / "two")
    four = gathered(tmp_path / "four", (0, 0, 0, 0))
    copies = gathered(tmp_path / "copies", (0, 0, 2, 2))
    assert two.tensors.equals(four.tensors)
    assert two.tensors.equals(copies.tensors)
    assert not len(copies.dissent)
    assert "identical" == compared(two, gathered(tmp_path / "again")).outcome


@pytest.mark.parametrize(
    ("part", "step", "stage"),
    [
        ("weight", 0, "initial_weights"),
        ("gradient", 2, "gradients"),
        ("weight", 3, "weights"),
        ("state.exp_avg", 3, "optimizer_state"),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_the_process_whose_share_differs_is_named(
    part: str, step: int, stage: str, rank: int, tmp_path: Path
) -> None:
    """If both runs have the same layout; in another one no share corresponds."""
    sound = gathered(tmp_path / "sound")
    faulty = gathered(tmp_path / "faulty", changes={rank: other_sum(step, part)})
    first = compared(sound, faulty).first_divergence
    assert first is not None
    assert (step, stage, SHARED, rank) == (first.step, first.stage, first.tensor, first.rank)

    other = compared(gathered(tmp_path / "other", (0, 0, 0, 0)), faulty).first_divergence
    assert other is not None
    assert (SHARED, None) == (other.tensor, other.rank)


@pytest.mark.parametrize("rank", [2, 3])
def test_of_a_copy_that_differs_the_process_is_named(rank: int, tmp_path: Path) -> None:
    """The digest of the copy differs on both of its processes, the share on one."""
    sound = gathered(tmp_path / "sound", (0, 0, 2, 2))
    faulty = gathered(tmp_path / "faulty", (0, 0, 2, 2), {rank: other_sum(3, "weight")})
    assert [(3, rank, SHARED)] == [
        (row["step"], row["rank"], row["tensor"]) for row in faulty.dissent.to_pylist()
    ]
    first = compared(sound, faulty).first_divergence
    assert first is not None
    assert (3, "weights", SHARED, rank) == (first.step, first.stage, first.tensor, first.rank)


def test_a_share_that_is_missing_is_no_agreement(tmp_path: Path) -> None:
    """The digest of the whole is not known, which is never equal."""

    def without(rows: list[Row]) -> None:
        rows[:] = [row for row in rows if (row["step"], row["part"]) != (3, "weight")]

    sound = gathered(tmp_path / "sound")
    lacking = gathered(tmp_path / "lacking", changes={1: without})
    row = next(r for r in lacking.tensors.to_pylist() if (r["step"], r["tensor"]) == (3, SHARED))
    assert row["weight"] is None
    assert row["gradient"] is not None
    assert lacking.steps["weights"].to_pylist()[2] is None
    found = compared(sound, lacking)
    assert ("inconclusive", None) == (found.outcome, found.first_divergence)
    assert any("weights is missing at step 3" in doubt for doubt in found.doubts)


def test_the_shares_of_one_process_alone_are_no_digests(tmp_path: Path) -> None:
    """As if the others had been killed: what it held whole stays, the rest is not known."""
    made = command_draft(world_size=2)
    made.rows["shares"] = shares_of(0, 0, 2)
    made.write(tmp_path)
    without_partners(tmp_path)
    rows = {(row["step"], row["tensor"]): row for row in RunRecord(tmp_path).tensors.to_pylist()}
    assert [None] * 3 == [
        rows[2, SHARED][name] for name in ("gradient", "weight", "optimizer_state")
    ]
    assert fake_digest("weight", 2, WHOLE) == rows[2, WHOLE]["weight"]
    assert RunRecord(tmp_path).header.initial_weights is None
    assert [None] * STEPS == RunRecord(tmp_path).steps["weights"].to_pylist()

    before = command_draft().write(tmp_path / "unshared")
    without_partners(tmp_path / "unshared")
    assert before.tensors.equals(RunRecord(tmp_path / "unshared").tensors)


def test_norms_that_only_round_otherwise_are_no_difference(tmp_path: Path) -> None:
    """Of equal gradients; a whole tensor's norm is rounded otherwise than that of its shares."""
    one, two = gathered(tmp_path / "one"), gathered(tmp_path / "two", (0, 0, 0, 0))
    assert one.steps["grad_norm"].to_pylist() != two.steps["grad_norm"].to_pylist()
    found = compared(one, two)
    assert found.first_divergence is None, found.first_divergence


def test_processes_that_compute_one_batch_count_once(tmp_path: Path) -> None:
    """As in tensor parallelism: the second repeats the micro-batches of the first."""
    record = gathered(tmp_path / "shared")
    alone = command_draft().write(tmp_path / "alone")
    assert (2, 1) == (record.spec.world_size, record.spec.processes)
    assert alone.micro_batches.equals(record.micro_batches)
    assert alone.header.samples == record.header.samples


def test_processes_that_should_read_one_batch_and_do_not_are_all_kept(tmp_path: Path) -> None:
    """The control: the comparison then shows the other batch."""
    for rank in (0, 1):
        made = command_draft(world_size=2)
        made.header["batches_from"] = 0
        made.micro_batch(2)["batch_content"] ^= rank
        made.write(rank_folder(tmp_path / "other", rank))
    gather(tmp_path / "other", 2)
    record = RunRecord(tmp_path / "other")
    assert 2 == record.spec.processes
    assert 2 * len(command_draft().rows["micro_batches"]) == len(record.micro_batches)
