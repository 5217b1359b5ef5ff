"""The file of a baseline: one readable JSON file for each case and machine class.

`DIR/CASE@CLASS.json` is the baseline. `DIR/history/CASE@CLASS/0001.json` and following hold the
previous baselines unchanged. A file has a schema version and a digest of its content. The digest
detects truncation and edits by hand; it does not protect against forgery. Files are written
atomically, and one command at a time works on a baseline.
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

from harness.errors import RecordError, SpecError, full_disk_reported
from harness.regression.facts import LoopFacts
from harness.regression.key import Key, key_differences, machine_class
from harness.regression.speeds import Speeds
from harness.results.record import write_atomically

__all__ = [
    "SCHEMA_VERSION",
    "Baseline",
    "StoredBaseline",
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
    """The accepted state of a case."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: int = SCHEMA_VERSION
    case: str
    reason: str = Field(min_length=1)
    """Why the run was accepted."""
    accepted_at: str
    """ISO 8601 in UTC, for readers; no comparison uses it."""
    commit: str | None
    """Commit of the checkout that made the run, with '+' if the checkout had changes."""
    made_by: Literal["run", "bench"]
    """`run`: facts of whole runs; `bench`: facts of the short traced runs of a bench."""
    key: Key
    asked: dict[str, Any]
    """The recipe and the workload options; the key holds their digest."""
    versions: dict[str, str]
    """Full versions of the libraries."""
    loops: dict[str, LoopFacts] = Field(min_length=1)
    speeds: Speeds | None = None
    ratios: dict[str, tuple[float, float, float]] = {}
    """For readers: by arm, its step time relative to the reference and the 95% interval."""


@dataclass(frozen=True)
class StoredBaseline:
    """A baseline and its file."""

    path: Path
    baseline: Baseline


def baseline_path(where: Path, case: str, key: Key) -> Path:
    """The file of a case and machine class in the folder `where`, or `where` if it is a file."""
    return where if _is_file(where) else where / f"{case}@{machine_class(key)}.json"


def cases_in(where: Path) -> set[str]:
    """Names of the cases with a baseline of any machine class. Files in a folder are not opened.

    Raises `SpecError` if `where` is neither a folder nor a file, `RecordError` as `read` does.
    """
    if _is_file(where):
        return {read(where).case}
    if not where.is_dir():
        remedy = "make one with harness accept RUN_DIR --baseline DIR --reason TEXT"
        raise SpecError("--baseline takes a folder or file of baselines", where, remedy)
    return {path.name.partition("@")[0] for path in where.glob("*@*.json")}


def find_baselines(where: Path, case: str) -> list[StoredBaseline]:
    """All baselines of a case, one per machine class. Raises `RecordError` if one is damaged."""
    if _is_file(where):
        found = [StoredBaseline(where, read(where))] if where.is_file() else []
        return [one for one in found if one.baseline.case == case]
    paths = sorted(where.glob(f"{_literal(case)}@*.json"))
    found = [StoredBaseline(path, read(path)) for path in paths]
    for one in found:
        if one.baseline.case != case:
            rule = "the file name of a baseline starts with the name of its case"
            met = f"{one.path.name} holds the case {one.baseline.case}"
            raise RecordError(rule, met, "restore the file name")
    return found


def nearest_baseline(found: Sequence[StoredBaseline], key: Key) -> StoredBaseline | None:
    """The baseline whose key differs in the fewest fields; None if there is none."""
    return min(found, key=lambda one: len(key_differences(one.baseline.key, key)), default=None)


def previous_baselines(path: Path) -> list[StoredBaseline]:
    """The previous baselines of `path`, oldest first. Raises `RecordError`."""
    return [StoredBaseline(one, read(one)) for one in sorted(_history(path).glob("[0-9]*.json"))]


def read(path: Path) -> Baseline:
    """The baseline in a file. Raises `RecordError` if the file is damaged or edited."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        digest = raw.pop("digest")
        version = raw.get("schema_version")
    except OSError as error:
        raise RecordError("a baseline is a readable file", f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        met = f"{path} is truncated or not JSON"
        raise RecordError("a baseline is a complete JSON file", met, _REMEDY) from None
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"this harness reads baselines of schema version {SCHEMA_VERSION}",
            f"version {version} in {path}",
            "accept a run again",
        )
    if digest != _digest(raw):
        rule = "a baseline is unchanged since harness accept wrote it"
        raise RecordError(rule, f"{path} was edited or damaged", _REMEDY)
    try:
        # Strict, except that JSON has lists in place of tuples.
        return Baseline.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RecordError(f"baseline field {place}: {first['msg']}", path, _REMEDY) from None


def write(baseline: Baseline, path: Path) -> None:
    """Write a baseline to `path`. The previous one moves unchanged to the history.

    Raises `SpecError` if the folder is not writable.
    """
    content = baseline.model_dump(mode="json")
    text = _text({**content, "digest": _digest(content)}) + "\n"
    try:
        with full_disk_reported(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                folder = _history(path)
                folder.mkdir(parents=True, exist_ok=True)
                numbers = [int(one.stem) for one in folder.glob("[0-9]*.json")]
                with write_atomically(
                    folder / f"{max(numbers, default=0) + 1:04}.json"
                ) as temporary:
                    temporary.write_bytes(path.read_bytes())
            with write_atomically(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        remedy = "name a writable folder"
        raise SpecError("--baseline takes a writable folder", error, remedy) from None


@contextmanager
def locked(where: Path) -> Iterator[None]:
    """Lock a baseline for one `check` or `accept`. Two checks at once would disturb each other's
    timings. Raises `SpecError` if another command holds the lock.

    The lock is a kernel lock in the folder for temporary files, since a baseline may be read-only.
    """
    name = xxhash.xxh3_64_hexdigest(str(where.resolve()).encode())
    user = os.getuid() if hasattr(os, "getuid") else 0
    lock = FileLock(Path(tempfile.gettempdir()) / f"harness-gate-{user}-{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        rule = "one check or accept at a time works on a baseline"
        raise SpecError(rule, f"another one uses {where}", "wait for it") from None
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
    """JSON with one field per line; a list of plain values stays on one line."""
    deeper = indent + " "
    if isinstance(value, dict) and value:
        rows = (f"{deeper}{json.dumps(name)}: {_text(v, deeper)}" for name, v in value.items())
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        return "[\n" + ",\n".join(deeper + _text(part, deeper) for part in value) + f"\n{indent}]"
    return json.dumps(value)
