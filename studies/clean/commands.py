"""Clean pairs of traced commands: repeated, cut otherwise, renamed, and rounded otherwise.

The scripts are those of `tests/scripts/`, each traced several times. Two programs with options make
the other kinds: in `exact_train.py` nothing rounds, so every way of cutting an update is equal;
`noisy_train.py` rounds, and is compared with the noise band of its reference.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RunFailed
from harness.results.folders import RECORDS
from studies.clean.pair import Pair
from tests.scripts.twins import PROGRAMS, SCRIPTS
from tests.support.forked_python import forked_python

__all__ = ["command_pairs"]

_ROOT = Path(__file__).parents[2]
_EXACT = Path(__file__).with_name("exact_train.py")
_NOISY = _ROOT / "tests" / "execution" / "command" / "noisy_train.py"
_REPEATS, _DRAWS = 3, 6
_ROUNDINGS = {
    "2 x 4": ("--batch", "4", "--accumulate", "2"),
    "4 x 2": ("--batch", "2", "--accumulate", "4"),
    "8 x 1": ("--batch", "1", "--accumulate", "8"),
    "fused": ("--flavour", "fused"),
    "loop": ("--flavour", "loop"),
    "two threads": ("--threads", "2"),
}
_CUTS = (16, 8, 4, 2)
_RENAMES = tuple((f"my_{part}", part) for part in ("words", "encoder", "head"))


def command_pairs(folder: Path, seeds: int, train: bool = True) -> Iterator[Pair]:
    """Trace what is not traced yet in `folder`, and give each pair."""
    with _tracer(folder, train) as trace:
        yield from _exact(trace, seeds)
        yield from _rounded(trace, seeds)
        yield from _repeated(trace)


@dataclass(frozen=True)
class _Tracer:
    """Traces commands into folders of these names; the processes of most are forked."""

    folder: Path
    programs: Path | None
    """The folder of the `python` that forks; None: nothing is traced."""

    def __call__(
        self, name: str, words: Sequence[str], options: Sequence[str] = (), fresh: bool = False
    ) -> Path:
        """The record of a command that is run in a copy of the scripts; a finished one is kept."""
        out = self.folder / name
        if self.programs is None:
            return next(iter(sorted((out / RECORDS).glob("*"))), out / RECORDS)
        if not (out / "report.json").is_file() or self._failed(out):
            shutil.rmtree(out, ignore_errors=True)
            python = Path(sys.executable) if fresh else self.programs / "python"
            path = [str(python.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
            variables = {"PATH": os.pathsep.join(path), "PYTHONPATH": str(_ROOT)}
            with tempfile.TemporaryDirectory(prefix="clean-") as scratch:
                tree = shutil.copytree(PROGRAMS, Path(scratch) / "tree")
                done = subprocess.run(
                    [str(python), "-m", "harness", "trace", "--out", str(out.resolve()), *options,
                     "--", *words],
                    cwd=tree, env={**os.environ, **variables, "HF_HUB_OFFLINE": "1"},
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                )  # fmt: skip
            (out / "errors").write_text(done.stderr, encoding="utf-8")
            (out / "exit_code").write_text(str(done.returncode), encoding="utf-8")
        if self._failed(out):
            raise RunFailed("a command of the study must succeed", out / "errors", "read the file")
        return sorted((out / RECORDS).iterdir())[0]

    def _failed(self, out: Path) -> bool:
        code = out / "exit_code"
        return not code.is_file() or code.read_text(encoding="utf-8") != "0"


@contextmanager
def _tracer(folder: Path, train: bool) -> Iterator[_Tracer]:
    if not train:
        yield _Tracer(folder, None)
        return
    with tempfile.TemporaryDirectory() as short, forked_python(Path(short)) as programs:
        yield _Tracer(folder, programs)


def _repeated(trace: _Tracer) -> Iterator[Pair]:
    """Each script with itself, started again; what one cannot show is stated in its record."""
    for script in SCRIPTS:
        if script.unseen:
            continue  # such a pair is inconclusive by design
        several = script.processes > 1  # gloo may hang in processes that were forked
        records = [
            trace(f"script-{script.name}-{n}", script.command, fresh=several or n == 0)
            for n in range(_REPEATS)
        ]
        for (one, first), (two, second) in itertools.combinations(enumerate(records), 2):
            yield Pair("scripts", f"{script.name}, traces {one + 1} and {two + 1}", first, second)


def _exact(trace: _Tracer, seeds: int) -> Iterator[Pair]:
    """Updates that are cut otherwise, with the same and with another name around the module."""
    for seed in range(seeds):
        cuts = {
            (cut, names): trace(
                f"exact-{seed}-{cut}-{names or 'same'}",
                ("python", str(_EXACT), "--seed", str(seed), "--batch", str(cut), "--names", names),
            )
            for cut, names in (*((cut, "") for cut in _CUTS), (16, "my_"), (4, "my_"))
        }
        for (one, two), (first, second) in zip(
            itertools.combinations(cuts, 2), itertools.combinations(cuts.values(), 2), strict=True
        ):
            kind = "cut otherwise" if one[0] != two[0] else "other prefix"
            name = f"seed {seed}, batches of {one[0]} and {two[0]} {two[1]}".strip()
            yield Pair(kind, name, first, second)


def _rounded(trace: _Tracer, seeds: int) -> Iterator[Pair]:
    """Pairs that differ by rounding, compared with the noise band of the first; and each of them
    with itself under other names of parameters."""
    for seed in range(seeds):
        words = ("python", str(_NOISY), "--seed", str(seed))
        reference = trace(f"noisy-{seed}", words, ("--noise", str(_DRAWS)))
        for name, options in _ROUNDINGS.items():
            place = f"noisy-{seed}-{name.replace(' ', '-')}"
            other = trace(place, (*words, *options), ("--noise", "0"))
            draws = tuple(sorted(reference.parent.glob(f"{reference.name}-weights-*")))
            yield Pair("rounded otherwise", f"seed {seed}, {name}", reference, other, draws=draws)
            again = trace(f"{place}-renamed", (*words, *options, "--names", "my_"))
            yield Pair("renamed", f"seed {seed}, {name}", other, again, _RENAMES)
