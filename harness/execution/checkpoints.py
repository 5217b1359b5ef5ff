"""Which checkpoints of a run are complete, so that a run can resume from them.

A loop writes checkpoints in the way of its library, and such a write may be interrupted anywhere. A
checkpoint counts only if it is sealed: `checkpoint-STEP.json` beside it is written atomically
afterwards and holds the digest of every file. A checkpoint without a seal, or that does not match
its seal, is skipped for the one before. The seal also covers what the record needs to continue: the
counts and traces of each process up to that step, in separate folders. Nothing here loads a
checkpoint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import SpecError
from harness.results.record import Counts, RecordWriter, file_digest, write_atomically
from harness.spec.case import RunSpec

__all__ = ["FOLDER", "Checkpoints", "Seal", "check_same_run", "first_difference"]

_COUNTS = "counts.json"
FOLDER = "checkpoints"
"""The folder of checkpoints within the folder of a record."""
_KEPT = 2  # the newest, and one more if the newest is damaged


class Seal(BaseModel):
    """What one complete checkpoint consists of. Paths are relative to the folder of checkpoints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: RunSpec
    step: int
    checkpoint: str
    """The file or folder that the loop wrote."""
    traces: tuple[str, ...]
    """Folders with the traces up to `step`, oldest first. Each has a folder for each process."""
    files: dict[str, str]
    """128-bit XXH3 digest of each file of the checkpoint and the traces, by its path."""
    resumed_from: tuple[int, ...]
    """Steps from which the run was resumed before."""


class Checkpoints:
    """The checkpoints of one run, in the folder to which its loop writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest(self, spec: RunSpec | None = None) -> tuple[Seal | None, list[str]]:
        """The newest complete checkpoint, None without one, and a warning for each skipped one.

        Raises `SpecError` if a checkpoint belongs to a run that differs from `spec`, if given.
        """
        skipped = []
        for path in sorted(self.folder.glob("checkpoint-*.json"), key=_step, reverse=True):
            seal = _read(path)
            if seal is None:
                skipped.append(f"{path.stem} was skipped: its seal cannot be read")
                continue
            if spec is not None:
                check_same_run(seal.spec, spec)
            damaged = next(self._damaged(seal), None)
            if damaged is None:
                return seal, skipped
            skipped.append(f"{path.stem} was skipped: {damaged} has changed since it was written")
        return None, skipped

    def of_another_run(self, spec: RunSpec) -> Seal:
        """The newest complete checkpoint, from which `spec` starts although another run wrote it.

        Raises `SpecError` if there is none, if another loop wrote it, or if `spec` writes
        checkpoints: they could not be sealed with traces that lie elsewhere.
        """
        if spec.recipe.save_every is not None:
            raise SpecError(
                "a run that starts from the checkpoint of another run writes none",
                f"save_every={spec.recipe.save_every}",
                "set save_every to none",
            )
        seal, _ = self.newest()
        if seal is None:
            raise SpecError(
                "a run starts from a folder with a complete checkpoint", self.folder, "pass another"
            )
        if seal.spec.loop != spec.loop:
            raise SpecError(
                f"only the loop that wrote a checkpoint reads it: {seal.spec.loop}",
                spec.loop,
                "use that loop",
            )
        return seal

    def set_aside(self, rank: int, counts: Counts, writer: RecordWriter) -> None:
        """Store what process `rank` has recorded up to a checkpoint, to be sealed with it."""
        folder = self.folder / f"traces-{counts.steps}" / str(rank)
        writer.set_aside(folder)
        (folder / _COUNTS).write_text(counts.model_dump_json() + "\n", encoding="utf-8")

    def take_up(self, seal: Seal, rank: int, writer: RecordWriter) -> Counts:
        """Continue the record of `rank` from `seal`; return its counts at that step."""
        folders = [self.folder / name / str(rank) for name in seal.traces]
        writer.take_up(folders)
        return Counts.model_validate_json((folders[-1] / _COUNTS).read_bytes())

    def seal(self, checkpoint: Path, spec: RunSpec, step: int, before: Seal | None) -> Seal:
        """Seal the checkpoint that a loop has written, and what was stored with it.

        `before`: the seal before this one in the same run, in this process or an earlier one.
        """
        traces = self.folder / f"traces-{step}"
        earlier = before.traces if before else ()
        files = {
            name: digest
            for name, digest in (before.files if before else {}).items()
            if name.partition("/")[0] in earlier
        }
        for file in _files([checkpoint, traces]):
            files[str(file.relative_to(self.folder))] = file_digest(file)
        seal = Seal(
            spec=spec,
            step=step,
            checkpoint=str(checkpoint.relative_to(self.folder)),
            traces=(*earlier, traces.name),
            files=files,
            resumed_from=before.resumed_from if before else (),
        )
        with write_atomically(self.folder / f"checkpoint-{step}.json") as path:
            path.write_text(seal.model_dump_json() + "\n", encoding="utf-8")
        self._prune()
        return seal

    def sealed(self, step: int) -> Seal | None:
        """The seal of that step, which another process has made."""
        return _read(self.folder / f"checkpoint-{step}.json")

    def clear_after(self, seal: Seal | None) -> None:
        """Remove everything that was written after `seal`; None: everything."""
        kept = set()
        if seal:
            older = [path for path in self.folder.glob("checkpoint-*") if _step(path) < seal.step]
            kept = {path.name for path in older} | set(seal.traces)
            kept |= {seal.checkpoint.split("/")[0], f"checkpoint-{seal.step}.json"}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name not in kept:
                _remove(path)

    def _damaged(self, seal: Seal) -> Iterator[str]:
        for name, digest in seal.files.items():
            path = self.folder / name
            if not path.is_file() or file_digest(path) != digest:
                yield name

    def _prune(self) -> None:
        """Remove all but the newest checkpoints. Traces stay, because they are the record."""
        sealed = sorted(self.folder.glob("checkpoint-*.json"), key=_step)
        for path in sealed[:-_KEPT]:
            seal = _read(path)
            path.unlink()  # first, so that no seal remains for a partly removed checkpoint
            if seal:
                _remove(self.folder / seal.checkpoint)


def _step(path: Path) -> int:
    digits = path.name.removeprefix("checkpoint-").partition(".")[0]
    return int(digits) if digits.isdecimal() else -1


def _read(path: Path) -> Seal | None:
    try:
        return Seal.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _files(parts: Iterable[Path]) -> Iterator[Path]:
    for part in parts:
        yield from [part] if part.is_file() else sorted(p for p in part.rglob("*") if p.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_same_run(before: RunSpec, now: RunSpec) -> None:
    """Raise `SpecError` if a run would continue as a different run."""
    difference = first_difference(before, now)
    if difference is not None:
        name, was, met = difference
        raise SpecError(
            f"a run continues with the settings with which it began, where {name} is {was}",
            met,
            "restore the value, or choose a new output folder",
        )


def first_difference(one: RunSpec, two: RunSpec) -> tuple[str, str, str] | None:
    """The first field in which two runs differ, and its two values as JSON; None: none differs."""
    left, right = (_flat(spec.model_dump(mode="json")) for spec in (one, two))
    for name in dict.fromkeys([*left, *right]):
        if name != "case.note" and left.get(name) != right.get(name):
            return name, json.dumps(left.get(name)), json.dumps(right.get(name))
    return None


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one table with dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
