"""A record is read back as it was written, or refused."""

import errno
import gc
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from harness.errors import RecordError
from harness.results.record import (
    HEADER,
    SCHEMA_VERSION,
    SCHEMAS,
    Header,
    RecordWriter,
    RunRecord,
    write_atomically,
)
from tests.support.records import STEPS, draft, evaluation, fake_digest

GROUP = 4096  # rows that a writer holds at most


def header_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / HEADER).read_text(encoding="utf-8"))
    return content


def rewrite_header(folder: Path, **changes: Any) -> None:
    text = json.dumps({**header_of(folder), **changes})
    (folder / HEADER).write_text(text, encoding="utf-8")


def refused(folder: Path, *words: str) -> None:
    """Reading the record, or its traces, is refused in one line that holds `words`."""
    with pytest.raises(RecordError) as caught:
        RunRecord(folder).trace("steps")
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    for word in words:
        assert word in message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The record of a short run."""
    return draft().write(tmp_path / "record").folder


def test_what_is_written_is_read_back(folder: Path) -> None:
    """Every row and every field of the header survive the files."""
    made, found = draft(), RunRecord(folder)

    for trace in ("steps", "micro_batches", "tensors"):
        assert made.rows[trace] == found.trace(trace).to_pylist()
        assert SCHEMAS[trace] == found.trace(trace).schema
    for name, value in made.header.items():
        assert value == getattr(found.header, name)
    assert made.header["spec"].key == found.spec.key


def test_a_changed_row_is_read_back_changed(tmp_path: Path) -> None:
    """Control of the round trip: a change is not lost."""
    made = draft()
    made.step(2)["grad_norm"] = 17.0

    assert draft().rows["steps"] != made.write(tmp_path).steps.to_pylist()


def test_a_trace_that_was_not_recorded_is_empty(folder: Path) -> None:
    """A trace run holds no timings: the table is empty and has the right columns."""
    assert (0, SCHEMAS["timings"]) == (
        len(RunRecord(folder).trace("timings")),
        RunRecord(folder).trace("timings").schema,
    )


def test_final_metrics_are_those_of_the_last_evaluation(tmp_path: Path) -> None:
    """Of several evaluations the last counts; without one there are none."""
    both = draft(evaluations=(evaluation(3, accuracy=0.1), evaluation(STEPS, accuracy=0.9)))

    assert 0.9 == both.write(tmp_path / "both").header.final_metrics["accuracy"]
    assert {} == draft(evaluations=()).write(tmp_path / "none").header.final_metrics


def test_metrics_that_are_not_finite_survive(tmp_path: Path) -> None:
    """NaN and infinities are read back unchanged, not as null."""
    metrics = {"accuracy": math.nan, "loss": math.inf, "f1": -math.inf}
    found = draft(evaluations=(evaluation(STEPS, **metrics),)).write(tmp_path).header.final_metrics

    assert {name: repr(value) for name, value in metrics.items()} == {
        name: repr(value) for name, value in found.items()
    }


def test_without_a_header_there_is_no_record(tmp_path: Path) -> None:
    """The header is written last, so the traces of an interrupted run are not read."""
    writer = RecordWriter(tmp_path / "record")
    for row in draft().rows["steps"]:
        writer.add("steps", **row)
    refused(tmp_path / "record", HEADER, "pass the folder of a finished run")

    writer.close(Header(**draft().header))
    assert STEPS == len(RunRecord(tmp_path / "record").steps)


def test_a_new_writer_removes_the_header_of_an_earlier_run(folder: Path) -> None:
    """While a run writes into the folder of another, no record can be read from it."""
    assert RunRecord(folder).header.status == "completed"
    RecordWriter(folder)
    refused(folder, HEADER)


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, None, "1", [1]])
def test_another_schema_version_is_refused(folder: Path, version: object) -> None:
    """A record of another version is refused, even if it has the same fields."""
    rewrite_header(folder, schema_version=version)
    refused(folder, f"version {SCHEMA_VERSION}", f"met version {version}", "run it again")


@pytest.mark.parametrize("text", ["", "{", "not json", '{"schema_version": 1'])
def test_a_header_that_is_not_json_is_refused(folder: Path, text: str) -> None:
    """A truncated or foreign header is refused."""
    (folder / HEADER).write_text(text, encoding="utf-8")
    refused(folder, "header is JSON")


@pytest.mark.parametrize("text", ["[]", "1", "null"])
def test_a_header_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    """JSON that is no header is refused."""
    (folder / HEADER).write_text(text, encoding="utf-8")
    refused(folder, "version None")


def test_a_header_that_is_not_text_is_refused(folder: Path) -> None:
    """Bytes that are not text are refused."""
    (folder / HEADER).write_bytes(b"\xff\xfe\x00")
    refused(folder, "readable")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status": "fine"}, "status"),
        ({"steps": "many"}, "steps"),
        ({"surprise": 1}, "surprise"),
        ({"evaluations": [{"step": 1}]}, "evaluations.0"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(
    folder: Path, changes: dict[str, Any], field: str
) -> None:
    """The field that does not fit is named."""
    rewrite_header(folder, **changes)
    refused(folder, f"header field {field}")


def test_a_truncated_trace_is_refused(folder: Path) -> None:
    """A trace that lost its last byte has changed."""
    path = folder / "steps.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    refused(folder, "must be unchanged", "steps.parquet")


def test_an_edited_trace_is_refused(folder: Path, tmp_path: Path) -> None:
    """A complete and valid trace of another run is refused."""
    other = draft()
    other.step(3)["weights"] ^= 1
    path = other.write(tmp_path / "other").folder / "steps.parquet"
    path.replace(folder / "steps.parquet")
    refused(folder, "must be unchanged")


def test_a_missing_trace_is_refused(folder: Path) -> None:
    """Every trace that the header lists must be present."""
    (folder / "steps.parquet").unlink()
    refused(folder, "must be present", "restore the file")


def test_a_trace_that_is_no_parquet_is_refused(folder: Path) -> None:
    """A file with the right digest is refused if it is not Parquet."""
    content = b"not parquet at all"
    (folder / "steps.parquet").write_bytes(content)
    digest = xxhash.xxh3_128(content).hexdigest()
    rewrite_header(folder, traces={"steps": {"rows": STEPS, "xxh3_128": digest}})
    refused(folder, "is a Parquet file")


def test_a_trace_whose_row_count_differs_from_the_header_is_refused(folder: Path) -> None:
    """The row count of the header is compared with the file."""
    traces = header_of(folder)["traces"]
    traces["steps"]["rows"] += 1
    rewrite_header(folder, traces=traces)
    refused(folder, "rows and columns")


def test_rows_are_written_during_the_run(tmp_path: Path) -> None:
    """At most 4096 rows of a trace are kept in memory."""
    rows = 2 * GROUP + 10
    writer = RecordWriter(tmp_path)
    for step in range(1, rows + 1):
        writer.add("timings", step=step, step_s=step / 1000)
        held = sum(len(columns["step"]) for columns in writer._held.values())
        assert held < GROUP
    writer.close(Header(**draft().header))

    file = pq.ParquetFile(tmp_path / "timings.parquet")
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert [GROUP, GROUP, 10] == sizes
    assert list(range(1, rows + 1)) == RunRecord(tmp_path).trace("timings")["step"].to_pylist()


def test_tensor_names_are_read_across_row_groups(tmp_path: Path) -> None:
    """Each row group has its own dictionary; read together the names are unchanged."""
    names = [f"layer.{number % 7}" for number in range(GROUP)] + ["last", "layer.0"]
    writer = RecordWriter(tmp_path)
    for number, name in enumerate(names):
        digests = dict.fromkeys(("gradient", "weight", "optimizer_state"), fake_digest(number))
        writer.add("tensors", step=number, tensor=name, **digests)
    writer.close(Header(**draft().header))

    assert names == RunRecord(tmp_path).tensors["tensor"].to_pylist()


def test_an_atomic_write_replaces_the_file(tmp_path: Path) -> None:
    """On success only the new content remains."""
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")
    with write_atomically(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert "old" == path.read_text(encoding="utf-8")

    assert "new" == path.read_text(encoding="utf-8")
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_atomic_write_leaves_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    """If the writing is interrupted, the old content stays and no other file remains."""
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")

    def interrupted() -> None:
        with write_atomically(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise error

    with pytest.raises(error):
        interrupted()

    assert "old" == path.read_text(encoding="utf-8")
    assert [path] == list(tmp_path.iterdir())


def test_a_record_holds_nothing_but_json_and_parquet(folder: Path) -> None:
    """No file of a record can execute anything when it is read."""
    names = sorted(path.name for path in folder.iterdir())

    assert all(re.fullmatch(r"record\.json|\w+\.parquet", name) for name in names)
    assert 4 == len(names)


def test_a_trace_that_cannot_be_finished_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The destructor prints nothing; that of pyarrow's own writer, for control, does."""
    row = pa.table({"step": [1], "step_s": [0.5]}, SCHEMAS["timings"])
    writer = RecordWriter(tmp_path / "run")
    writer.add_table("timings", row)
    control = pq.ParquetWriter(tmp_path / "control.parquet", row.schema)

    def full(_: pq.ParquetWriter) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "close", full)
    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    with pytest.raises(OSError, match="No space"):
        writer.close(Header(**draft().header))
    del writer
    gc.collect()
    assert [] == seen
    del control
    gc.collect()
    assert 1 == len(seen)
