"""TensorBoard's event files: the scalars of one are read, and scalars are written.

The packages that read event files bring gRPC, protobuf or a server. None of them is needed: each
record of the file is a message `Event`, of which only these fields matter here:

    Event:        1 wall_time (double), 2 step (int64), 3 file_version (string), 5 summary (Summary)
    Summary:      1 value (Value, repeated)
    Value:        1 tag (string), 2 simple_value (float), 8 tensor (TensorProto)
    TensorProto:  1 dtype (1: float, 2: double), 2 shape, 4 content, 5 float_val, 6 double_val

Other fields are skipped. Nothing in a file is executed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import RecordError
from harness.results.imported.tfrecord import framed, read_frames

__all__ = ["Scalar", "read_scalars", "scalars_as_bytes"]

_VERSION = b"brain.Event:2"
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types
_FLOATS = {1: ("<f", 5), 2: ("<d", 6)}  # dtype: format, and the field of the elements
_LONGEST_VARINT = 10


@dataclass(frozen=True)
class Scalar:
    """One value of a tag."""

    tag: str
    step: int
    value: float


def read_scalars(path: Path) -> Iterator[Scalar]:
    """The scalars of an event file, in its order. Raises `RecordError` if it is damaged."""
    for place, content in read_frames(path):
        try:
            yield from _scalars(content)
        except (ValueError, IndexError, TypeError, struct.error):
            remedy = "pass an event file of TensorBoard"
            raise RecordError("a record of an event file is an event", place, remedy) from None


def scalars_as_bytes(scalars: Iterable[Scalar], wall_time: float) -> bytes:
    """An event file of scalars in single precision. `wall_time`: seconds since 1970, for all."""
    time = _key(1, _DOUBLE) + struct.pack("<d", wall_time)
    records = [framed(time + _field(3, _VERSION))]
    for scalar in scalars:
        value = _field(1, scalar.tag.encode("utf-8", "replace"))
        with np.errstate(over="ignore"):
            value += _key(2, _FLOAT) + np.float32(scalar.value).tobytes()
        step = _key(2, _VARINT) + _varint(scalar.step) if scalar.step else b""
        records.append(framed(time + step + _field(5, _field(1, value))))
    return b"".join(records)


def _scalars(event: bytes) -> Iterator[Scalar]:
    """The scalars of one event. Raises errors of several types if it is malformed."""
    step, summaries = 0, []
    for number, content in _fields(event):
        if number == 2:
            step = int(content)
        elif number == 5:
            summaries.append(content)
    step -= (step >> 63) << 64
    for summary in summaries:
        for number, value in _fields(summary):
            if number == 1:
                parts = dict(_fields(value))
                found = _value(parts)
                if found is not None:
                    yield Scalar(bytes(parts.get(1, b"")).decode(), step, found)


def _value(parts: dict[int, int | bytes]) -> float | None:
    """The number in the fields of a `Value`; None if it holds something else."""
    if 2 in parts:
        return float(struct.unpack("<f", _content(parts[2]))[0])
    tensor = dict(_fields(parts[8])) if 8 in parts else {}
    dtype = tensor.get(1)
    if not isinstance(dtype, int) or dtype not in _FLOATS or tensor.get(2):
        return None  # not a number, or not a scalar: it has a shape
    form, elements = _FLOATS[dtype]
    content = tensor.get(4) or tensor.get(elements) or bytes(struct.calcsize(form))
    if len(_content(content)) != struct.calcsize(form):
        return None  # several elements
    return float(struct.unpack(form, _content(content))[0])


def _content(field: int | bytes) -> bytes:
    if isinstance(field, int):
        raise TypeError(field)
    return field


def _fields(field: int | bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and content of each field of a message."""
    message, place = _content(field), 0
    while place < len(message):
        key, place = _read_varint(message, place)
        wire, size = key & 7, 0
        if wire == _VARINT:
            number, place = _read_varint(message, place)
            yield key >> 3, number
            continue
        if wire == _BYTES:
            size, place = _read_varint(message, place)
        elif wire in (_DOUBLE, _FLOAT):
            size = 8 if wire == _DOUBLE else 4
        else:
            raise ValueError(wire)
        if size > len(message) - place:
            raise ValueError(size)
        yield key >> 3, message[place : place + size]
        place += size


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of up to 64 bits, and the place behind it."""
    number = 0
    for count in range(_LONGEST_VARINT):
        byte = message[place + count]
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number & ((1 << 64) - 1), place + count + 1
    raise ValueError(place)


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _field(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
