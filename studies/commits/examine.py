"""Checks a pair of commits with `harness check --against`, and judges the lists of the report."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.results.report import REPORT_FILE, Report
from studies.commits.pairs import CommitPair

__all__ = ["answer_of", "check_pair", "make_pair", "mistakes", "topic_of"]

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_TRACED_STEPS = "20"
_WHO = ("-c", "user.name=Study", "-c", "user.email=study@example.org")
_LISTS = ("changed", "unchanged", "unknown")
_BROKEN, _NO_VERDICT = 3, 4


def make_pair(pair: CommitPair, folder: Path) -> None:
    """Make the repository with its first commit, the tag `before`, and the commit of the pair.

    Raises `ValueError` if a text that the commit replaces is not there.
    """
    shutil.copytree(_HERE / pair.repository, folder, ignore=shutil.ignore_patterns("__pycache__"))
    _git(folder, "init", "-q", "-b", "main")
    _commit(folder, "first")
    _git(folder, "tag", "before")
    for edit in pair.edits:
        path = folder / edit.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if edit.old not in text:
            raise ValueError(f"{pair.name}: {edit.old!r} is not in {edit.file}")
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    _commit(folder, pair.does)


def _commit(folder: Path, message: str) -> None:
    _git(folder, "add", "-A")
    _git(folder, *_WHO, "commit", "-qm", message)


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, stdout=subprocess.DEVNULL)


def check_pair(pair: CommitPair, folder: Path, budget_s: float) -> dict[str, Any]:
    """Make the pair in `folder`, check it, and judge the answer."""
    shutil.rmtree(folder, ignore_errors=True)
    repository, out = folder / "repository", folder / "out"
    make_pair(pair, repository)
    timed = ("--budget", f"{budget_s:g}", "--stop-after", _TRACED_STEPS) if pair.is_timed else ()
    words = [sys.executable, "-m", "harness", "check", "--against", "before", *timed]
    began = time.monotonic()
    done = subprocess.run(
        [*words, "--out", str(out.resolve()), "--", *pair.command],
        cwd=repository,
        env=_variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    if not (out / REPORT_FILE).is_file():
        raise RuntimeError(f"{pair.name}: exit code {done.returncode}: {done.stderr}")
    answer = answer_of(Report.read(out), done.returncode)
    return {
        "name": pair.name,
        "repository": pair.repository,
        "commit": pair.does,
        **answer,
        "mistakes": mistakes(pair, answer),
        "seconds": round(time.monotonic() - began, 1),
    }


def _variables() -> dict[str, str]:
    """This harness and its interpreter come first."""
    paths = {"PYTHONPATH": str(_ROOT), "PATH": str(Path(sys.executable).parent)}
    return {
        **os.environ,
        **{
            name: os.pathsep.join(filter(None, [first, os.environ.get(name)]))
            for name, first in paths.items()
        },
    }


def answer_of(report: Report, exit_code: int) -> dict[str, Any]:
    """What a check reported: its exit code, its verdict and its three lists."""
    found = report.upgrade
    assert found is not None
    lists = {name: list(getattr(found, name)) for name in _LISTS}
    return {"exit_code": exit_code, "verdict": report.verdict, **lists}


def topic_of(sentence: str) -> str:
    """What a sentence of a list is about."""
    text = sentence.partition(": ")[2]
    if found := re.match(r"setting (\S+) is ", text):
        return f"setting {found[1]}"
    if text.startswith("settings reported only by"):
        return "settings of one"
    if re.match(r"\d+ settings? read", text):
        return "settings"
    if text.startswith("equal at every step"):
        return "stages"
    return next((name for name in ("values", "speed") if text.startswith(name)), "counts")


def mistakes(pair: CommitPair, answer: Mapping[str, Any]) -> list[str]:
    """In which way an answer is not that of the pair, one sentence each."""
    topics = {name: _topics(answer[name]) for name in _LISTS}
    found = []
    if pair.is_timed:
        places = [name for name in _LISTS if "speed" in topics[name]]
        allowed = [["unknown"], ["changed" if pair.slower else "unchanged"]]
        if places not in allowed:
            found.append(f"speed is in {places}, not in one of {allowed}")
        if pair.slower and any("speed faster" in sentence for sentence in answer["changed"]):
            found.append("a commit that costs time is called faster")
    for name, expected in (("changed", pair.changed), ("unknown", pair.unknown)):
        others = topics[name] - ({"speed"} if pair.is_timed else set())
        if others != expected:
            found.append(f"{name}: {sorted(others)}, not {sorted(expected)}")
    if "values" not in pair.changed | pair.unknown and "values" not in topics["unchanged"]:
        found.append("equal values are not listed as unchanged")
    everything = [*answer["changed"], *answer["unchanged"], *answer["unknown"]]
    if not any(pair.words in sentence for sentence in everything):
        found.append(f"no sentence contains {pair.words!r}")
    if answer["exit_code"] != (code := _exit_code(pair, topics)):
        found.append(f"exit code {answer['exit_code']}, not {code}")
    return found


def _topics(sentences: Sequence[str]) -> set[str]:
    return {topic_of(sentence) for sentence in sentences}


def _exit_code(pair: CommitPair, topics: Mapping[str, set[str]]) -> int:
    """The exit code that belongs to these lists."""
    if pair.broken:
        return _BROKEN
    if topics["changed"]:
        return 1
    return _NO_VERDICT if topics["unknown"] else 0
