"""Event files: as TensorBoard writes them, and what is refused."""

from __future__ import annotations

import math
import struct
from base64 import b64decode
from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.results.imported.event_file import Scalar, read_scalars, scalars_as_bytes
from harness.results.imported.tfrecord import framed

# Written by tensorboard 2.21.0: its EventFileWriter, and its Writer of scalars as tensors.
BY_TENSORBOARD = b64decode(
    "SAAAAAAAAAD+kkidCQAAAMALWtZBGg1icmFpbi5FdmVudDoyUi4KLHRlbnNvcmJvYXJkLnN1bW1hcnkud3JpdGVyLmV2"
    "ZW50X2ZpbGVfd3JpdGVyk4X1cR4AAAAAAAAA2dwSMgkAAADAC1rWQSoTChEKCnRyYWluL2xvc3MVAABAPxgAKashAAAA"
    "AAAAAAF77PYJAAAAwAta1kEQrAIqEwoRCgp0cmFpbi9sb3NzFc3MzD22CguhJAAAAAAAAABCK4BNCQAAAMALWtZBEKwC"
    "KhYKFAoNZXZhbC9hY2N1cmFjeRUAAMB/1TVEuA=="
)
TENSORS_BY_TENSORBOARD = b64decode(
    "SAAAAAAAAAD+kkidCQAAAMALWtZBGg1icmFpbi5FdmVudDoyUi4KLHRlbnNvcmJvYXJkLnN1bW1hcnkud3JpdGVyLmV2"
    "ZW50X2ZpbGVfd3JpdGVyk4X1cTAAAAAAAAAAlfXQXwkAAADAC1rWQRABKiMKIQoEbG9zc0IKCAESACoEAAAAP0oNCgkK"
    "B3NjYWxhcnMgAYupHbM5AAAAAAAAAIsHN/EJAAAAwAta1kEQ////////////ASojCiEKBGxvc3NCCggBEgAqBAAAgD5K"
    "DQoJCgdzY2FsYXJzIAGwSXR0"
)
FIRST_BYTES = 88
"""The first record, which names the program that wrote the file."""
WRITTEN = [
    Scalar("train/loss", 0, 0.75),
    Scalar("train/loss", 300, 0.1),
    Scalar("eval/accuracy", 300, math.nan),
]


def scalars(folder: Path, content: bytes) -> list[Scalar]:
    path = folder / "events.out.tfevents.1"
    path.write_bytes(content)
    return list(read_scalars(path))


def test_the_bytes_are_those_that_tensorboard_writes() -> None:
    """Behind the first record the two files are equal; with another value they are not."""
    ours = scalars_as_bytes(WRITTEN, 1.5e9)
    without_first = ours[len(ours) - (len(BY_TENSORBOARD) - FIRST_BYTES) :]
    assert BY_TENSORBOARD[FIRST_BYTES:] == without_first
    other = scalars_as_bytes([Scalar("train/loss", 0, 0.76), *WRITTEN[1:]], 1.5e9)
    assert not other.endswith(without_first)


def test_a_file_of_tensorboard_is_read(tmp_path: Path) -> None:
    """Values are single precision, and NaN is one of them."""
    found = scalars(tmp_path, BY_TENSORBOARD)
    assert [(one.tag, one.step) for one in WRITTEN] == [(one.tag, one.step) for one in found]
    single = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    assert [0.75, single] == [one.value for one in found[:2]]
    assert math.isnan(found[2].value)


def test_scalars_stored_as_tensors_are_read(tmp_path: Path) -> None:
    """As `tf.summary.scalar` stores them; a negative step stays negative."""
    expected = [Scalar("loss", 1, 0.5), Scalar("loss", -1, 0.25)]
    assert expected == scalars(tmp_path, TENSORS_BY_TENSORBOARD)


def test_other_content_is_skipped(tmp_path: Path) -> None:
    """A tensor with a shape is no scalar; a record above 256 KiB is not parsed."""
    value = b"\x22\x04\x00\x00\x00\x3f"
    plain = b"\x2a\x0f\x0a\x0d\x0a\x01x\x42\x08\x08\x01" + value
    shaped = b"\x2a\x15\x0a\x13\x0a\x01y\x42\x0e\x08\x01\x12\x04\x12\x02\x08\x01" + value
    large = bytes(1 << 18) + b"x"
    content = b"".join(map(framed, (plain, shaped, large))) + BY_TENSORBOARD
    assert ["x", *(one.tag for one in WRITTEN)] == [one.tag for one in scalars(tmp_path, content)]
    with pytest.raises(RecordError, match=r"must be complete .*record 3 of"):
        scalars(tmp_path, content[: -len(BY_TENSORBOARD) - 1])


@pytest.mark.parametrize("cut", [1, 5, 11, 12, 40, 87, 89, len(BY_TENSORBOARD) - 1])
def test_a_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    """Wherever it ends, if it is not between two records."""
    with pytest.raises(RecordError, match="must be complete"):
        scalars(tmp_path, BY_TENSORBOARD[:cut])


@pytest.mark.parametrize("place", [0, 8, 12, 60, 84, 100, len(BY_TENSORBOARD) - 1])
def test_a_changed_byte_is_found(tmp_path: Path, place: int) -> None:
    """In a length, a content or a checksum; unchanged, for control, the file is read."""
    changed = bytearray(BY_TENSORBOARD)
    changed[place] ^= 1
    with pytest.raises(RecordError, match="checksum of each record must be right"):
        scalars(tmp_path, bytes(changed))
    assert 3 == len(scalars(tmp_path, BY_TENSORBOARD))


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 20,
        b"\x2a\x7f",
        b"\x2a\x05\x0a\x03\x0a\x7fx",
        b"\x2b",
        b"\x10",
        b"\x2a\x07\x0a\x05\x15\x00\x00\x00",
        b"\x28\x05",
        b"\x2a\x04\x0a\x02\x10\x05",
        b"\x2a\x0a\x0a\x08\x0a\x01\xff\x15\x00\x00\x00\x00",
    ],
)
def test_a_record_that_is_no_event_is_refused(tmp_path: Path, content: bytes) -> None:
    """Its checksums are right, its fields are not."""
    with pytest.raises(RecordError, match="is an event") as caught:
        scalars(tmp_path, framed(content))
    assert "\n" not in str(caught.value)


def test_values_beyond_single_precision_become_infinite(tmp_path: Path) -> None:
    """As everywhere in single precision."""
    content = scalars_as_bytes([Scalar("x", 1, 1e300), Scalar("x", 2, -1e300)], 0)
    assert [math.inf, -math.inf] == [one.value for one in scalars(tmp_path, content)]
