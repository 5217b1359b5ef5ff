"""Whatever bytes a log holds, reading ends in a log or in one line."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.comparison.logs import compare_log
from harness.errors import RecordError
from harness.results.imported.log import Log
from harness.results.imported.read import read_log
from harness.results.imported.tfrecord import framed
from tests.support.records import draft

TRIES = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("step", "loss", "log_history")), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = ("step", "loss", "learning_rate", "grad_norm", "eval_accuracy", "eval_loss", "epoch")
ENTRIES = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), max_size=6)
LIKELY = st.lists(
    st.fixed_dictionaries(
        {"step": st.integers(0, 8)},
        optional=dict.fromkeys(NAMES[1:], st.floats() | st.integers(-3, 3)),
    ),
    max_size=6,
)


def read(path: Path, content: bytes) -> Log | None:
    """The log, or None if it is refused with one line."""
    path.write_bytes(content)
    try:
        return read_log(path)
    except RecordError as error:
        message = str(error)
    assert "\n" not in message
    return None


def compare(log: Log | None, folder: Path) -> None:
    """Compare a log with a record, if it is one: never identical, and a value that is not finite is
    never without a doubt."""
    if log is None:
        return
    record_folder = folder / "record"
    record = draft().write(record_folder)
    found = compare_log("tiny", ("log", "run"), log, record)
    assert found.outcome in ("different", "inconclusive", "incomparable")
    assert (found.outcome == "different") == (found.first_divergence is not None)
    assert found.doubts
    found.model_dump_json()


@TRIES
@given(entries=ENTRIES | LIKELY | VALUES)
def test_any_history(tmp_path: Path, entries: Any) -> None:
    """Of the Trainer."""
    text = json.dumps({"log_history": entries})
    compare(read(tmp_path / "trainer_state.json", text.encode("utf-8", "surrogatepass")), tmp_path)


@TRIES
@given(
    header=st.lists(st.sampled_from((*NAMES, "lr", "train/loss", "x")), min_size=1, max_size=4),
    rows=st.lists(
        st.lists(
            st.sampled_from(("", "0", "1", "2.5", "nan", "-inf", "1e-5", "x", "sNaN", "1_0", '"')),
            max_size=5,
        ),
        max_size=5,
    ),
)
def test_any_table(tmp_path: Path, header: list[str], rows: list[list[str]]) -> None:
    """Of numbers, or of anything else."""
    text = "\n".join(",".join(row) for row in (["step", *header], *rows))
    compare(read(tmp_path / "log.csv", text.encode()), tmp_path)


@TRIES
@given(content=st.binary(max_size=60))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    """In each format; in an event file also with the right checksums."""
    for name in ("trainer_state.json", "log.csv", "events.out.tfevents.1"):
        read(tmp_path / name, content)
    compare(read(tmp_path / "events.out.tfevents.1", framed(content)), tmp_path)


@example(rows=[(0, float(np.finfo(np.float32).max), b"loss")])
@TRIES
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 8), st.floats(width=32), st.sampled_from((b"loss", b"eval/f1"))),
        min_size=1,
        max_size=5,
    )
)
def test_any_scalars(tmp_path: Path, rows: list[tuple[int, float, bytes]]) -> None:
    """Written here byte by byte; what is read is what was written."""
    records = []
    for step, value, tag in rows:
        inner = b"\x0a" + bytes([len(tag)]) + tag + b"\x15" + struct.pack("<f", value)
        summary = b"\x0a" + bytes([len(inner)]) + inner
        event = b"\x10" + bytes([step]) + b"\x2a" + bytes([len(summary)]) + summary
        records.append(framed(event))
    log = read(tmp_path / "events.out.tfevents.1", b"".join(records))
    by_place: dict[tuple[bytes, int], list[float]] = {}
    for step, value, tag in rows:
        by_place.setdefault((tag, step), []).append(value)
    contradicts = any(
        one != held[0] and not (math.isnan(one) and math.isnan(held[0]))
        for held in by_place.values()
        for one in held
    )
    assert contradicts == (log is None)
    compare(log, tmp_path)
