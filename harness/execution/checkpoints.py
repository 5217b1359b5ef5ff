"""Which checkpoints of a run are whole, and may be gone on from.

A loop writes checkpoints in its library's own way, and such a write may be cut off anywhere. So
what a loop wrote counts only once it is sealed: `checkpoint-STEP.json` beside it, written
atomically afterwards, holds the digest of every file. What has no seal, or does not match it, is
passed over for the one before. Sealed with it is what the record needs to go on: each process's
counts and its traces up to that step, set aside in folders of their own. Nothing here loads a
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
"""Where they are, within the folder of a record."""
_KEPT = 2  # the newest, and one more in case the newest is damaged


class Seal(BaseModel):
    """What is known of one whole checkpoint. Paths are relative to the folder of them all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: RunSpec
    step: int
    checkpoint: str
    """What the loop wrote: a file or a folder."""
    traces: tuple[str, ...]
    """Folders with the traces up to `step`, oldest first; in each a folder for each process."""
    files: dict[str, str]
    """128-bit XXH3 of each file of the above."""
    resumed_from: tuple[int, ...]
    """Steps from which the run had been resumed before."""


class Checkpoints:
    """The checkpoints of one run, in the folder that its loop writes them to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest(self, spec: RunSpec | None = None) -> tuple[Seal | None, list[str]]:
        """The newest that is whole, None without one, and a word on each passed over.

        Raises `SpecError` where they belong to a run of another recipe than `spec`, if given.
        """
        passed_over = []
        for path in sorted(self.folder.glob("checkpoint-*.json"), key=_step, reverse=True):
            seal = _read(path)
            if seal is None:
                passed_over.append(f"{path.stem} was passed over: its seal cannot be read")
                continue
            if spec is not None:
                check_same_run(seal.spec, spec)
            damaged = next(self._damaged(seal), None)
            if damaged is None:
                return seal, passed_over
            passed_over.append(f"{path.stem} was passed over: {damaged} is not as it was written")
        return None, passed_over

    def of_another_run(self, spec: RunSpec) -> Seal:
        """The newest whole one, from which `spec` starts though it is not the run that wrote it.

        Raises `SpecError` where there is none, or it is another loop's, or `spec` is to write some
        of its own: those could not be sealed with traces that lie elsewhere.
        """
        if spec.recipe.save_every is not None:
            raise SpecError(
                "a run that starts from another's checkpoint writes none",
                f"save_every={spec.recipe.save_every}",
                "set save_every to none",
            )
        seal, _ = self.newest()
        if seal is None:
            raise SpecError(
                "a run starts from a folder with a whole checkpoint", self.folder, "pass another"
            )
        if seal.spec.loop != spec.loop:
            raise SpecError(
                f"a checkpoint is read by the loop that wrote it, {seal.spec.loop}",
                spec.loop,
                "run that one",
            )
        return seal

    def set_aside(self, rank: int, counts: Counts, writer: RecordWriter) -> None:
        """What the process `rank` has recorded up to a checkpoint, to be sealed with it."""
        folder = self.folder / f"traces-{counts.steps}" / str(rank)
        writer.set_aside(folder)
        (folder / _COUNTS).write_text(counts.model_dump_json() + "\n", encoding="utf-8")

    def take_up(self, seal: Seal, rank: int, writer: RecordWriter) -> Counts:
        """Let a record go on where `rank` stood when `seal` was made; what it had counted."""
        folders = [self.folder / name / str(rank) for name in seal.traces]
        writer.take_up(folders)
        return Counts.model_validate_json((folders[-1] / _COUNTS).read_bytes())

    def seal(self, checkpoint: Path, spec: RunSpec, step: int, before: Seal | None) -> Seal:
        """Declare whole what a loop has just written, and what was set aside with it.

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
        """The seal of that step, as another process has just made it."""
        return _read(self.folder / f"checkpoint-{step}.json")

    def clear_after(self, seal: Seal | None) -> None:
        """Remove all that was written after `seal`; everything where that is None."""
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
        """Remove checkpoints older than the last few; traces stay, for they are the record."""
        sealed = sorted(self.folder.glob("checkpoint-*.json"), key=_step)
        for path in sealed[:-_KEPT]:
            seal = _read(path)
            path.unlink()  # first, so that a seal never stands for what is half removed
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


def check_same_run(before: RunSpec, asked: RunSpec) -> None:
    """Raise `SpecError` where a run that was begun is asked to go on as another one."""
    difference = first_difference(before, asked)
    if difference is not None:
        name, was, met = difference
        raise SpecError(
            f"a run goes on by the recipe that it was begun with, in which {name} is {was}",
            met,
            "set it back, or pass a new folder to --out",
        )


def first_difference(one: RunSpec, two: RunSpec) -> tuple[str, str, str] | None:
    """The field in which two runs are not the same, and its two values, as JSON."""
    left, right = (_flat(spec.model_dump(mode="json")) for spec in (one, two))
    for name in dict.fromkeys([*left, *right]):
        if name != "case.note" and left.get(name) != right.get(name):
            return name, json.dumps(left.get(name)), json.dumps(right.get(name))
    return None


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
