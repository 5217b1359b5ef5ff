"""The damages of a hostile record: each changes a copy of a sound record and states what it did."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.results.record import HEADER, file_digest

__all__ = ["DAMAGES", "MARKUP", "Hostile", "hostile_record"]

COMPARED = (
    "status", "steps", "micro_batches", "samples", "epochs", "parameters", "initial_weights",
    "digest_algorithm", "evaluations", "traces", "schema_version", "steps_expected",
)  # fmt: skip
"""Fields of the header of which every other value must be noticed."""
MARKUP = "</td><script>alert(1)</script>&amp;[b]{{ 7 * 7 }}\x1b[31m\u202e"
CLIMBING = "../../../../../../etc/passwd"
_MANY = pa.array(np.zeros(300_000, np.int64))
"""Indices that repeat the first row."""


@dataclass
class Hostile:
    """A record while it is damaged: the header, and the traces as tables or as bytes."""

    header: dict[str, Any]
    folder: Path
    noticed: bool = False
    """Whether a damage must be noticed; markup in a free text need not be."""
    damages: list[str] = field(default_factory=list)
    text: bytes | None = None
    """The whole header, if it is no JSON object."""

    def table(self, trace: str) -> pa.Table:
        """One trace."""
        return pq.ParquetFile(self.folder / f"{trace}.parquet").read(use_threads=False)

    def put(self, trace: str, table: pa.Table) -> None:
        """Replace a trace, with the number of rows and the digest that the header states."""
        path = self.folder / f"{trace}.parquet"
        pq.write_table(table, path)
        self.state(trace, table.num_rows)

    def state(self, trace: str, rows: int | None = None) -> None:
        """Make the header state the digest of a trace as it is."""
        stated = self.header.get("traces")
        if not isinstance(stated, dict) or not isinstance(stated.get(trace), dict):
            return
        stated[trace]["xxh3_128"] = file_digest(self.folder / f"{trace}.parquet")
        if rows is not None:
            stated[trace]["rows"] = rows


def strange(rng: random.Random) -> Any:
    """A value that fits nowhere."""
    return rng.choice(
        [
            None, -1, 2**63, 2**70, 10**40, 1e308, "NaN", "Infinity", "-Infinity", "", "x" * 5000,
            MARKUP, CLIMBING, "\x00", [], {}, [[]] * 50, {"a": {"b": [1]}}, ["x"] * 3000, "é" * 300,
            {"step": -5}, [None, None], 0.5, "0x1f", "1e999",
        ]
    )  # fmt: skip


def _any_field(one: Hostile, rng: random.Random) -> str:
    """A value of the header at any depth becomes a strange one."""
    at, place = one.header, [rng.choice(list(one.header))]
    while isinstance(at[place[-1]], dict) and at[place[-1]] and rng.random() < 0.8:
        at = at[place[-1]]
        place.append(rng.choice(list(at)))
    before, new = at[place[-1]], strange(rng)
    at[place[-1]] = new
    one.noticed |= place[0] in COMPARED and new is not None and before != new
    return f"header {'.'.join(map(str, place))}"


def _missing_field(one: Hostile, rng: random.Random) -> str:
    name = rng.choice([name for name in one.header if name.isidentifier() and name.islower()])
    del one.header[name]
    one.noticed |= name in ("schema_version", "spec", "status", "environment", "steps")
    return f"header without {name}"


def _unknown_field(one: Hostile, rng: random.Random) -> str:
    one.header[rng.choice(["__class__", "py/object", MARKUP, "", "Steps"])] = strange(rng)
    one.noticed = True
    return "header with an unknown field"


def _climbing_trace(one: Hostile, rng: random.Random) -> str:
    stated = one.header["traces"]
    name = rng.choice([CLIMBING, "/etc/passwd", "steps/../steps", "..", "~", "C:\\x", MARKUP])
    stated[name] = stated.pop(rng.choice(list(stated)))
    one.noticed = True
    return "a trace of another name"


def _markup(one: Hostile, rng: random.Random) -> str:
    for name in ("warnings", "remedies", "unseen"):
        one.header[name] = [MARKUP, CLIMBING]
    one.header["error"] = MARKUP
    one.header["parameter_names"] = [MARKUP] * 3
    one.header["settings"] = {MARKUP: MARKUP, "weights.dtype": {MARKUP: 1}}
    one.noticed = True  # what could not be seen is a doubt
    return "markup"


def _probe_fault(one: Hostile, rng: random.Random) -> str:
    one.header["probe_fault"] = MARKUP
    one.noticed = True
    return "a fault of the probe"


def _cut(one: Hostile, rng: random.Random) -> str:
    trace = rng.choice(["steps", "micro_batches", "tensors"])
    path = one.folder / f"{trace}.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])
    one.state(trace)
    one.noticed = True
    return f"{trace} cut"


def _bytes(one: Hostile, rng: random.Random) -> str:
    trace = rng.choice(["steps", "micro_batches", "tensors"])
    path = one.folder / f"{trace}.parquet"
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 20)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)
    one.state(trace)  # a changed byte may be one that nothing reads, so it need not be noticed
    return f"{trace} with other bytes"


def _unstated(one: Hostile, rng: random.Random) -> str:
    trace = rng.choice(["steps", "micro_batches", "tensors"])
    path = one.folder / f"{trace}.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    one.noticed = True
    return f"{trace} changed without its digest"


def _other_column(one: Hostile, rng: random.Random) -> str:
    trace = rng.choice(["steps", "micro_batches", "tensors"])
    table = one.table(trace)
    name = rng.choice(table.column_names)
    rows = len(table)
    new = rng.choice(
        [
            pa.array([MARKUP] * rows),
            pa.array([[1, 2]] * rows),
            pa.array([{"a": 1}] * rows),
            pa.array([1.5] * rows),
            pa.nulls(rows),
            pa.array([True] * rows),
            pa.array([b"\xff\xfe"] * rows),
        ]
    )
    one.put(trace, table.set_column(table.column_names.index(name), name, new))
    one.noticed = True
    return f"{trace}.{name} of another type"


def _columns(one: Hostile, rng: random.Random) -> str:
    trace = rng.choice(["steps", "micro_batches", "tensors"])
    table = one.table(trace)
    names = list(table.column_names)
    if rng.random() < 0.5:
        names.remove(rng.choice(names))
        one.put(trace, table.select(names))
    else:
        one.put(trace, table.append_column(rng.choice([MARKUP, "step", ""]), table["step"]))
    one.noticed = True
    return f"{trace} with other columns"


def _rows(one: Hostile, rng: random.Random) -> str:
    trace = rng.choice(["steps", "micro_batches", "tensors"])
    table = one.table(trace)
    order = list(range(len(table)))
    how = rng.randrange(4)
    if how == 0:
        order = order[: rng.randrange(len(order))]
    elif how == 1:
        order = order + order
    elif how == 2:
        order = order[::-1]
    else:
        order = [rng.choice(order)] * len(order)
    one.put(trace, table.take(pa.array(order, pa.int64())))
    one.noticed = True
    return f"{trace} with other rows"


def _values(one: Hostile, rng: random.Random) -> str:
    """Values of the right type that no training has."""
    trace = rng.choice(["steps", "micro_batches", "tensors"])
    table = one.table(trace)
    name = rng.choice(table.column_names)
    kind = table.schema.field(name).type
    values = table[name].to_pylist()
    before = list(values)
    all_of_them = len(values) < 100 and rng.random() < 0.3
    for at in range(len(values)) if all_of_them else [rng.randrange(len(values))]:
        values[at] = _of_type(kind, rng)
    if repr(values) == repr(before):
        return "nothing"
    one.put(trace, table.set_column(table.column_names.index(name), name, pa.array(values, kind)))
    one.noticed = True
    return f"{trace}.{name} with other values"


def _of_type(kind: pa.DataType, rng: random.Random) -> Any:
    if pa.types.is_list(kind):
        size = rng.choice([0, 1, 2, 5, 100_000 if rng.random() < 0.02 else 50])
        if rng.random() < 0.1:
            return None
        return [_of_type(kind.value_type, rng) for _ in range(1)] * size
    if pa.types.is_floating(kind):
        return rng.choice([None, float("nan"), float("inf"), -float("inf"), -0.0, 1e308, 5e-324])
    if pa.types.is_unsigned_integer(kind):
        return rng.choice([None, 0, 2**64 - 1, 7])
    if pa.types.is_dictionary(kind):
        return rng.choice([None, "", MARKUP, CLIMBING, "x" * 10_000, "\x00"])
    low, high = -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1
    return rng.choice([None, -1, 0, low, high, 3])


def _bomb(one: Hostile, rng: random.Random) -> str:
    """Rows without measure, which take a few kilobytes on disk."""
    trace = rng.choice(["steps", "micro_batches", "tensors"])
    table = one.table(trace)
    rows = len(_MANY)
    columns = [
        pa.chunked_array([pa.array([value], table.schema.field(name).type).take(_MANY)])
        for name, value in table.slice(0, 1).to_pylist()[0].items()
    ]
    one.put(trace, pa.table(columns, schema=table.schema))
    if rng.random() < 0.5:
        one.header["traces"][trace]["rows"] = rng.choice([10**15, 12, -4])
    one.noticed = True
    return f"{trace} with {rows} rows"


def _text(one: Hostile, rng: random.Random) -> str:
    """A header that is no JSON object: written at the end."""
    one.text = rng.choice(
        [
            b"", b"{", b"null", b"[" * 100_000, b"\xff\xfe\x00", b"[1]", b'{"schema_version": 2}',
            b'{"schema_version": 1e400}',
        ]
    )  # fmt: skip
    one.noticed = True
    return "no JSON object"


DAMAGES: tuple[tuple[Callable[[Hostile, random.Random], str], int], ...] = (
    (_any_field, 30), (_missing_field, 5), (_unknown_field, 3), (_climbing_trace, 4), (_markup, 4),
    (_probe_fault, 2), (_cut, 6), (_bytes, 8), (_unstated, 2), (_other_column, 8), (_columns, 4),
    (_rows, 8), (_values, 30), (_bomb, 1), (_text, 3),
)  # fmt: skip


def _as_it_was(one: Hostile, sound: Path) -> bool:
    """Whether a later damage took back all earlier ones, as rows that are turned round twice."""
    before = json.loads((sound / HEADER).read_text(encoding="utf-8"))
    header = dict(one.header)
    if one.text is not None or not isinstance(header.pop("traces", None), dict):
        return False
    stated = before.pop("traces")
    if header != before or one.header["traces"].keys() != stated.keys():
        return False
    for trace in stated:
        path = one.folder / f"{trace}.parquet"
        held = one.header["traces"][trace]
        try:
            if not isinstance(held, dict) or held.get("xxh3_128") != file_digest(path):
                return False
            if not one.table(trace).equals(pq.ParquetFile(sound / path.name).read()):
                return False
        except (pa.ArrowException, OSError, ValueError):
            return False
    return True


def hostile_record(sound: Path, folder: Path, number: int) -> Hostile:
    """Damage a copy of the record `sound` in `folder`; the damages follow from `number`."""
    rng = random.Random(number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sound.glob("*.parquet"):
        shutil.copyfile(path, folder / path.name)
    one = Hostile(json.loads((sound / HEADER).read_text(encoding="utf-8")), folder)
    kinds, weights = zip(*DAMAGES, strict=True)
    for damage in rng.choices(kinds, weights, k=rng.choice([1, 1, 1, 2, 3])):
        try:
            one.damages.append(damage(one, rng))
        except (
            LookupError,
            TypeError,
            AttributeError,
            ValueError,
            OSError,
            pa.ArrowException,
        ) as error:
            # An earlier damage forbids it.
            one.damages.append(f"(not applied: {type(error).__name__})")
    if len(one.damages) > 1 and one.noticed:
        one.noticed = not _as_it_was(one, sound)
    text = one.text
    if text is None:
        text = json.dumps(one.header).encode("utf-8", "surrogatepass")
    (folder / HEADER).write_bytes(text)
    return one
