"""The framing of TFRecord files: length, checksum of the length, content, checksum of the content.

A checksum is CRC-32C, rotated and shifted ("masked") so that it may stand in data that is itself
checksummed. https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from harness.errors import RecordError

__all__ = ["framed", "read_frames"]

_MOST_BYTES = 1 << 18
_REMEDY = "copy the file again, or pass another log"


def read_frames(path: Path) -> Iterator[tuple[str, bytes]]:
    """Place and content of each record of a file, without those above 256 KiB.

    A larger one, such as an image, holds no scalars, and its checksum would take long.

    Raises `RecordError` if a record is incomplete or a checksum is wrong.
    """
    with path.open("rb") as file:
        number = 0
        while head := file.read(12):
            number += 1
            place = f"record {number} of {path}"
            content = _content(file, head, place)
            if content is not None:
                yield place, content


def _content(file: BinaryIO, head: bytes, place: str) -> bytes | None:
    """The content of the record that begins with `head`; None if it is above 256 KiB."""
    if len(head) == 12:
        length, checksum = struct.unpack("<QI", head)
        if checksum != _masked_checksum(head[:8]):
            raise RecordError("the checksum of each record must be right", place, _REMEDY)
        if length > _MOST_BYTES:
            here, end = file.tell(), file.seek(0, 2)
            if end - here >= length + 4:
                file.seek(here + length + 4)
                return None
        elif len(rest := file.read(length + 4)) == length + 4:
            if struct.unpack("<I", rest[length:])[0] != _masked_checksum(rest[:length]):
                raise RecordError("the checksum of each record must be right", place, _REMEDY)
            return rest[:length]
    raise RecordError("each record of an event file must be complete", place, _REMEDY)


def framed(content: bytes) -> bytes:
    """One record."""
    length = struct.pack("<Q", len(content))
    checksums = (struct.pack("<I", _masked_checksum(part)) for part in (length, content))
    return length + next(checksums) + content + next(checksums)


def _masked_checksum(content: bytes) -> int:
    checksum = 0xFFFFFFFF
    for byte in content:
        checksum = (checksum >> 8) ^ _TABLE[(checksum ^ byte) & 0xFF]
    checksum ^= 0xFFFFFFFF
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> list[int]:
    """The remainders of all bytes by the reflected polynomial of CRC-32C (Castagnoli)."""
    table = []
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
        table.append(remainder)
    return table


_TABLE = _table()
