"""What was accepted: one readable file for each case and machine class, and its former ones.

`DIR/CASE@CLASS.json` is the baseline, `DIR/history/CASE@CLASS/0001.json` and on are those before
it, each as it was. A file is JSON with a version and a digest over its content, so that one that
was cut off or edited by hand is refused; the digest guards against accidents, not against forgery.
Files are written whole or not at all, and one command at a time works on a baseline.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import xxhash
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import RecordError, SpecError
from harness.regression.facts import LoopFacts
from harness.regression.key import Key, key_differences, machine_class
from harness.regression.speeds import Speeds
from harness.results.record import write_atomically

__all__ = [
    "SCHEMA_VERSION",
    "Baseline",
    "Stored",
    "baseline_path",
    "cases_in",
    "find_baselines",
    "locked",
    "nearest_baseline",
    "previous_baselines",
    "read",
    "write",
]

SCHEMA_VERSION = 1
"""1: first version."""
_HISTORY = "history"
_REMEDY = "restore it from version control, or accept a run again"


class Baseline(BaseModel):
    """What a case did when somebody accepted it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: int = SCHEMA_VERSION
    case: str
    reason: str = Field(min_length=1)
    """Why it was accepted."""
    accepted_at: str
    """ISO 8601 in UTC, for readers; nothing rests on it."""
    commit: str | None
    """Of the checkout that made the run, with '+' where it was changed."""
    made_by: Literal["run", "bench"]
    """`run`: the facts are of whole runs; `bench`: of the short traced runs beside a bench."""
    key: Key
    asked: dict[str, Any]
    """Recipe and options, of which the key holds a digest."""
    versions: dict[str, str]
    """Of the libraries, in full."""
    loops: dict[str, LoopFacts] = Field(min_length=1)
    speeds: Speeds | None = None
    ratios: dict[str, tuple[float, float, float]] = {}
    """For readers: of each arm its time to the reference's, and the 95% interval of that."""


@dataclass(frozen=True)
class Stored:
    """A baseline and where it is."""

    path: Path
    baseline: Baseline


def baseline_path(where: Path, case: str, key: Key) -> Path:
    """The file for a case on a machine class, in the folder `where` or that file itself."""
    return where if _is_file(where) else where / f"{case}@{machine_class(key)}.json"


def cases_in(where: Path) -> set[str]:
    """Cases of which there is a baseline, of whatever machine class; nothing is read of a folder.

    Raises `SpecError` where there is neither folder nor file, `RecordError` as `read` does.
    """
    if _is_file(where):
        return {read(where).case}
    if not where.is_dir():
        remedy = "make one by harness accept RUN_DIR --baseline DIR --reason TEXT"
        raise SpecError("--baseline takes a folder or file of baselines", where, remedy)
    return {path.name.partition("@")[0] for path in where.glob("*@*.json")}


def find_baselines(where: Path, case: str) -> list[Stored]:
    """All baselines of a case, one a machine class. Raises `RecordError` where one is damaged."""
    if _is_file(where):
        found = [Stored(where, read(where))] if where.is_file() else []
        return [one for one in found if one.baseline.case == case]
    paths = sorted(where.glob(f"{_literal(case)}@*.json"))
    found = [Stored(path, read(path)) for path in paths]
    for one in found:
        if one.baseline.case != case:
            rule = "a baseline's file bears the name of its case"
            raise RecordError(rule, f"{one.path.name} of {one.baseline.case}", "name it back")
    return found


def nearest_baseline(found: Sequence[Stored], key: Key) -> Stored | None:
    """The one with the fewest fields of the key that differ; None where there is none."""
    return min(found, key=lambda one: len(key_differences(one.baseline.key, key)), default=None)


def previous_baselines(path: Path) -> list[Stored]:
    """Those that stood in `path` before, the oldest first. Raises `RecordError`."""
    return [Stored(one, read(one)) for one in sorted(_history(path).glob("[0-9]*.json"))]


def read(path: Path) -> Baseline:
    """The baseline in a file. Raises `RecordError` where it is not whole, or not as written."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        digest = raw.pop("digest")
        version = raw.get("schema_version")
    except OSError as error:
        raise RecordError("a baseline is a readable file", f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise RecordError("a baseline is a whole file", f"{path}, cut off", _REMEDY) from None
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"this harness reads baselines of schema version {SCHEMA_VERSION}",
            f"version {version} in {path}",
            "accept a run again",
        )
    if digest != _digest(raw):
        rule = "a baseline is as harness accept wrote it"
        raise RecordError(rule, f"{path}, edited or damaged", _REMEDY)
    try:
        # Strict but for lists, which JSON has in the place of tuples.
        return Baseline.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RecordError(f"baseline field {place}: {first['msg']}", path, _REMEDY) from None


def write(baseline: Baseline, path: Path) -> None:
    """Make it the baseline in `path`; the one that stood there goes to the history as it was.

    Raises `SpecError` where the folder cannot be written to.
    """
    content = baseline.model_dump(mode="json")
    text = _text({**content, "digest": _digest(content)}) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            folder = _history(path)
            folder.mkdir(parents=True, exist_ok=True)
            numbers = [int(one.stem) for one in folder.glob("[0-9]*.json")]
            with write_atomically(folder / f"{max(numbers, default=0) + 1:04}.json") as temporary:
                temporary.write_bytes(path.read_bytes())
        with write_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        remedy = "name a folder that can be written to"
        raise SpecError("--baseline takes a folder to write in", error, remedy) from None


@contextmanager
def locked(where: Path) -> Iterator[None]:
    """One `check` or `accept` at a time works on a baseline, also since two checks at once would
    measure each other. Raises `SpecError` where another one does.

    The lock is the kernel's, in the folder for temporary files: a baseline may be read-only.
    """
    name = xxhash.xxh3_64_hexdigest(str(where.resolve()).encode())
    user = os.getuid() if hasattr(os, "getuid") else 0
    lock = FileLock(Path(tempfile.gettempdir()) / f"harness-gate-{user}-{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        rule = "one check or accept at a time works on a baseline"
        raise SpecError(rule, f"another one is at work on {where}", "wait for it") from None
    try:
        yield
    finally:
        lock.release()


def _is_file(where: Path) -> bool:
    return where.is_file() or (where.suffix == ".json" and not where.is_dir())


def _history(path: Path) -> Path:
    return path.parent / _HISTORY / path.stem


def _literal(name: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", name)


def _digest(content: dict[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())


def _text(value: Any, indent: str = "") -> str:
    """JSON with a field a line, and each list of plain values on one."""
    deeper = indent + " "
    if isinstance(value, dict) and value:
        rows = (f"{deeper}{json.dumps(name)}: {_text(v, deeper)}" for name, v in value.items())
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        return "[\n" + ",\n".join(deeper + _text(part, deeper) for part in value) + f"\n{indent}]"
    return json.dumps(value)
