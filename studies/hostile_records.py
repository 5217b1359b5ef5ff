"""Damages records at random, in ways that nobody would write by accident, and compares them.

Each hostile record is a sound one with one to three damages: values of another type, counts without
measure, paths that climb out of the folder, markup in names, bytes that are changed or cut (with a
matching digest, so that the damage is read), files that unpack to a hundred times their size, NaN,
lists without measure. It is compared with the sound record, one in four also the other way round.
A comparison must never raise, and no damaged record may be equal to the sound one. Each record
follows from its number, so a run that was stopped continues where it was, and a failure can be
repeated alone.

    python -m studies.hostile_records --out FOLDER [--count 100000] [--jobs 2]
    python -m studies.hostile_records --out FOLDER --only 4711

Published: `reports/published/hostile`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.comparison.compare import compare
from harness.errors import HarnessError
from harness.results.comparison import Comparison
from harness.results.record import RunRecord, write_atomically
from studies.hostile.damages import hostile_record
from tests.support.records import draft

__all__ = ["Outcome", "examine", "examine_some", "sound_record"]

AGREEING = ("identical", "within_noise", "equivalent")
CHUNK = 500
_MEMORY = "/dev/shm"  # noqa: S108  # a disk is twice as slow, since each record is four new files
BOTH_WAYS = 4  # of so many records, one is compared both as candidate and as reference


def sound_record(folder: Path) -> RunRecord:
    """The record that is damaged."""
    return draft().write(folder)


@dataclass
class Outcome:
    """What became of some hostile records."""

    count: int = 0
    results: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def examine(sound: RunRecord, folder: Path, number: int) -> tuple[str, str, list[Comparison]]:
    """The result of one hostile record, what is wrong with it (empty: nothing), and comparisons."""
    one = hostile_record(sound.folder, folder, number)
    what = f"{number}: {', '.join(one.damages)}"
    try:
        record = RunRecord(folder)
    except HarnessError:
        return "refused", "", []
    except Exception as error:  # noqa: BLE001  # this is what the study looks for
        return "crash", f"{what}: {type(error).__name__}: {error}", []
    found = []
    pairs = ((sound, record), (record, sound))
    for pair in pairs if number % BOTH_WAYS == 0 else pairs[:1]:
        try:
            found.append(compare(*pair, ("sound", "hostile")))
        except Exception as error:  # noqa: BLE001  # this is what the study looks for
            return "crash", f"{what}: {type(error).__name__}: {error}", found
        doubts = " ".join(found[-1].doubts)
        if "this is a fault of the harness (" in doubts:
            return "crash", f"{what}: {doubts}", found
    outcome = found[0].outcome
    if one.noticed and any(each.outcome in AGREEING for each in found):
        return "equal", f"{what}: {outcome}", found
    if found[-1].outcome != outcome:
        return outcome, f"{what}: {outcome} one way and {found[-1].outcome} the other", found
    return outcome, "", found


def examine_some(numbers: Iterable[int]) -> Outcome:
    """Examine hostile records of these numbers in a folder of their own."""
    found = Outcome()
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hostile-", dir=memory) as scratch:
        sound = sound_record(Path(scratch) / "sound")
        for number in numbers:
            result, wrong, _ = examine(sound, Path(scratch) / "hostile", number)
            found.count += 1
            found.results[result] += 1
            if wrong:
                found.failures.append(wrong)
    return found


def main(
    out: Annotated[Path, typer.Option(help="A folder for the progress and the result.")] = Path(
        "reports/hostile"
    ),
    count: Annotated[int, typer.Option(min=1, help="Hostile records.")] = 100_000,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    only: Annotated[int | None, typer.Option(help="Examine one record, by its number.")] = None,
) -> None:
    """Examine all records, and write `hostile.json`; exit code 1 if one is wrong."""
    if only is not None:
        found = examine_some([only])
        sys.stdout.write("\n".join([str(dict(found.results)), *found.failures, ""]))
        sys.exit(bool(found.failures))
    out.mkdir(parents=True, exist_ok=True)
    progress = out / "progress.jsonl"
    done: dict[int, dict[str, Any]] = {}
    if progress.is_file():
        for line in progress.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            done[row["start"]] = row
    starts = [start for start in range(0, count, CHUNK) if start not in done]
    with ProcessPoolExecutor(jobs) as pool, progress.open("a", encoding="utf-8") as file:
        waiting = {
            pool.submit(examine_some, range(start, min(start + CHUNK, count))): start
            for start in starts
        }
        for future in as_completed(waiting):
            found, start = future.result(), waiting[future]
            row = {
                "start": start, "count": found.count, "results": dict(found.results),
                "failures": found.failures,
            }  # fmt: skip
            done[start] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
    rows = [row for start, row in sorted(done.items()) if start < count]
    results: Counter[str] = Counter()
    for row in rows:
        results.update(row["results"])
    failures = [failure for row in rows for failure in row["failures"]]
    summary = {
        "records": sum(row["count"] for row in rows), "results": dict(results.most_common()),
        "failures": failures,
    }  # fmt: skip
    with write_atomically(out / "hostile.json") as path:
        path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps({**summary, "failures": failures[:20]}, indent=1) + "\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    typer.run(main)
