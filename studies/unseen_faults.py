"""Measures what the harness says of faults that were written without sight of its causes.

    python -m studies.unseen_faults --faults unseen --out FOLDER

The faults of `tests/faults/unseen`, and of the later sets `unseen_again`, `unseen_third` and
`unseen_fourth`, are mutations of the plain loop, and pairs of scripts: of one script with and
without the fault, or of two scripts that are written differently and compute the same without it.
Whoever wrote them knew neither the table of causes nor the localizer, and states for each what is
wrong, where it first shows, and which line of code is changed. Each is compared with its reference
and localized, as `harness run` and `harness compare --localize` do. The score says which were
found, placed at their step and stage, and for which a changed line was shown. Whether a cause or a
fact that was named is true is not decided here: all of them are listed.

Published: `reports/published/unseen-faults`, and `unseen-faults-again`, `unseen-faults-third` and
`unseen-faults-fourth` beside it. The exit code is 1 if a fault was not found.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import track

from harness.comparison.compare import compare
from harness.diagnosis.localize import localize_pairs
from harness.errors import HarnessError
from harness.execution.parent.runner import Run, run_all
from harness.report.text.operations import code_lines, operation_sentence
from harness.report.text.programs import program_parts
from harness.report.text.summary import sentence
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.spec import registry
from studies.study import write_result
from tests.faults.mutations import mutate, read_mutations, source_of
from tests.support.small_runs import small_case, write_pairs

__all__ = [
    "FAULTS",
    "SETS",
    "Changed",
    "ScriptTexts",
    "first_that_differs",
    "rows_of",
    "score",
    "script_texts",
]

FAULTS = Path(__file__).parents[1] / "tests" / "faults"
SETS = ("unseen", "unseen_again", "unseen_third", "unseen_fourth")


def score(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many faults were found, placed, and shown by a changed line."""
    return {
        "faults": len(rows),
        "found": sum(row["found"] for row in rows),
        "placed": sum(row["placed"] for row in rows),
        "with_a_changed_line": sum(row["line"] for row in rows),
        "with_a_cause": sum(bool(row["causes"]) for row in rows),
    }


def _loops(
    truth: Mapping[str, Any], faults: Path, out: Path, jobs: int
) -> dict[str, Comparison | str]:
    """The comparison of each mutated loop with the plain loop, localized; or why there is none."""
    case = small_case(write_pairs(out / "data"))
    found: dict[str, Comparison | str] = {}
    pairs: dict[str, tuple[RunRecord, RunRecord]] = {}
    mutations = read_mutations(faults / "plain.diff")
    runs: dict[str, Run] = {}
    for name, mutation in mutations.items():
        path = out / "loops" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(mutate(mutation), encoding="utf-8")
        needs = dict(truth[name].get("needs") or {})
        resume_at = needs.pop("resume_at", None)
        ground = registry.with_settings(case, needs)
        key = json.dumps(needs, sort_keys=True)
        for loop, label in (("plain", f"plain {key}"), (str(path), name)):
            spec = registry.run_spec(ground, loop)
            if loop != "plain" and resume_at:
                spec = spec.model_copy(update={"resume_at": resume_at})
            folder = out / "records" / f"{len(runs):03d}-{Path(loop).stem}"
            runs.setdefault(label, Run(spec, folder))
    records = run_all(list(runs.values()), jobs, lambda _number, _event: None, keep_going=True)
    by_label = dict(zip(runs, records, strict=True))
    compared = {}
    for name in mutations:
        needs = {k: v for k, v in (truth[name].get("needs") or {}).items() if k != "resume_at"}
        pair = by_label[f"plain {json.dumps(needs, sort_keys=True)}"], by_label[name]
        if pair[1].header.status != "completed":
            found[name] = pair[1].header.error or pair[1].header.status
            continue
        pairs[name] = pair
        compared[name] = compare(pair[0], pair[1], ("plain", name))
    localized = localize_pairs(
        list(compared.values()),
        lambda pair: pairs[pair.candidate],
        out / "replays",
        jobs,
        Console(quiet=True),
    )
    return found | dict(zip(compared, localized, strict=True))


class ScriptTexts(NamedTuple):
    """The texts of a pair of scripts."""

    reference: str
    candidate: str
    """With the fault."""
    sound: str
    """The candidate without it: the reference, or another script that computes the same."""


def script_texts(fault: Mapping[str, Any], faults: Path) -> ScriptTexts:
    """The scripts of a fault. Raises `ValueError` if a place is not found once."""
    folder = faults / "scripts"
    sound = (folder / f"{fault['script']}.py").read_text(encoding="utf-8")
    reference = fault.get("reference_script", fault["script"])
    candidate = sound
    for old, new in fault["changes"]:
        if candidate.count(old) != 1:
            raise ValueError(f"{fault['script']}: {old!r} must occur once")
        candidate = candidate.replace(old, new)
    text = (folder / f"{reference}.py").read_text(encoding="utf-8")
    return ScriptTexts(text, candidate, sound)


def _scripts(
    truth: Mapping[str, Any], faults: Path, out: Path, jobs: int = 1
) -> dict[str, Comparison | str]:
    """The comparison of each pair of scripts, localized, as the command line makes it."""

    def compared(name: str) -> Comparison | str:
        return _compared_scripts(truth[name], faults, out / "scripts" / name)

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(truth, track(pool.map(compared, truth), total=len(truth)), strict=True))


def _compared_scripts(fault: Mapping[str, Any], faults: Path, folder: Path) -> Comparison | str:
    """The comparison of a pair of scripts, made in a new `folder`; or why there is none."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    texts = script_texts(fault, faults)
    (folder / "reference.py").write_text(texts.reference, encoding="utf-8")
    (folder / "candidate.py").write_text(texts.candidate, encoding="utf-8")
    harness = [sys.executable, "-m", "harness"]
    for side in ("reference", "candidate"):
        command = [sys.executable, f"{side}.py"]
        _run([*harness, "trace", f"--out={side}", "--", *command], folder)
    words = ["compare", "reference", "candidate", "--localize", "--out=compared"]
    why = _run([*harness, *words], folder)
    try:
        return first_that_differs(Report.read(folder / "compared").comparisons)
    except (HarnessError, OSError, ValueError, IndexError):
        return why[-500:]


def first_that_differs(trainings: Sequence[Comparison]) -> Comparison:
    """Of the trainings of two scripts the first that differs, its step counted through all of them;
    the first one if none does. Raises `IndexError` without any."""
    before = 0
    for one in trainings:
        first = one.first_divergence
        if first is not None and one.outcome != "identical":
            counted = first.model_copy(update={"step": first.step + before})
            return one.model_copy(update={"first_divergence": counted})
        before += one.steps
    return trainings[0]


def _run(words: Sequence[str], folder: Path) -> str:
    """Run a command, of which every exit code is a result; return what it wrote to errors."""
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **path}, capture_output=True, text=True, check=False
    )
    return done.stderr


class Changed:
    """The lines that are changed between a reference and a candidate, on both sides."""

    def __init__(self, reference: str, candidate: str, also: Sequence[str] = ()) -> None:
        """The two texts. `also`: texts of lines that count if the candidate only lacks lines, as
        in a pair of two programs, where no line of the reference is one that was removed."""
        left, right = reference.splitlines(), candidate.splitlines()
        self.removed, self.added = set[int](), set[int]()
        for kind, i, j, k, n in difflib.SequenceMatcher(None, left, right, False).get_opcodes():
            if kind != "equal":
                self.removed |= set(range(i + 1, j + 1))
                self.added |= set(range(k + 1, n + 1))
        if not self.added:
            self.added |= {n for n, line in enumerate(right, start=1) if line.strip() in also}
        self._of_two_programs = bool(also)
        self.texts = {left[line - 1].strip() for line in self.removed}
        self.removed = _whole_statements(reference, self.removed)
        self.added = _whole_statements(candidate, self.added)

    def is_shown(self, said: Sequence[str], name: str) -> bool:
        """Whether a place that is said is a changed line. `name`: the candidate's file name."""
        for path, line in re.findall(r"([\w./-]+\.py):(\d+)", "\n".join(said)):
            file, number = path.rpartition("/")[2], int(line)
            if file == name:
                if number in self.added:
                    return True
            elif file == "reference.py":
                if not self._of_two_programs and number in self.removed:
                    return True
            elif self._is_removed_line(path, number):
                return True
        return False

    def _is_removed_line(self, path: str, number: int) -> bool:
        """Whether a line of a shipped loop is one that the mutation replaces."""
        root = Path(__file__).parents[1]
        for file in (root / path, root / "harness" / "training" / "loops" / path):
            if file.is_file():
                lines = file.read_text(encoding="utf-8").splitlines()
                return number <= len(lines) and lines[number - 1].strip() in self.texts
        return False


def _whole_statements(source: str, lines: set[int]) -> set[int]:
    """The lines, and all lines of the simple statements that they are part of."""
    found = set(lines)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Return):
            whole = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            if found & whole:
                found |= whole
    return found


def _row(
    name: str, truth: Mapping[str, Any], seen: Comparison | str, file: Path, changed: Changed
) -> dict[str, Any]:
    """What was said of a fault, beside the truth. `file`: the candidate's."""
    row = {"name": name, **{key: value for key, value in truth.items() if key != "changes"}}
    if isinstance(seen, str):
        return {**row, "failed": seen, "found": False, "placed": False, "line": False, "causes": []}
    first = seen.first_divergence
    place = None if first is None else [first.step, first.stage]
    said = _said(seen)
    return {
        **row,
        "found": seen.outcome == "different",
        "placed": place is not None and place in _true_places(truth),
        "line": changed.is_shown(said, file.name),
        "place": place,
        "causes": [cause.id for cause in seen.causes],
        "facts": [fact.text for fact in seen.facts if fact.explains_first],
        "said": said,
    }


def _said(pair: Comparison) -> list[str]:
    """What the page says of a pair; the terminal shortens long lists of lines."""
    code = code_lines(pair)
    lines = [f"{name}: {line}" for name, line in code]
    found = [sentence(pair), *([operation_sentence(pair)] if code else []), *lines]
    for part in program_parts(pair):
        found += [part.sentence, *(f"{name}: {line}" for name, line in part.lines)]
    return found


def _true_places(truth: Mapping[str, Any]) -> list[list[Any]]:
    """Each step and stage that would be right."""
    stages = (truth["stage_first"], *truth.get("stage_also", ()))
    return [*([truth.get("step", 0), stage] for stage in stages), *truth.get("places_also", ())]


def rows_of(
    truth: Mapping[str, Any], seen: Mapping[str, Comparison | str], faults: Path, work: Path
) -> list[dict[str, Any]]:
    """What was said of each fault whose files are in `work`."""
    rows = []
    for name, fault in truth.items():
        if "script" in fault:
            texts = script_texts(fault, faults)
            file = work / "scripts" / name / "candidate.py"
            also = fault["line_text"] if "reference_script" in fault else ()
            changed = Changed(texts.sound, texts.candidate, also)
        else:
            file = work / "loops" / f"{name}.py"
            changed = Changed(source_of("plain"), file.read_text(encoding="utf-8"))
        rows.append(_row(name, fault, seen[name], file, changed))
    return rows


def main(
    faults: Annotated[str, typer.Option(help="The set, a folder of tests/faults.")] = SETS[0],
    out: Annotated[Path, typer.Option(help="A new folder for records and result.")] = Path(
        "reports/unseen-faults"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
) -> None:
    """Train everything, and write what was said of each fault."""
    folder, work = FAULTS / faults, out / "work"
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    seen = _loops(truth, folder, work, jobs)
    scripts = {name: fault for name, fault in truth.items() if "script" in fault}
    seen |= _scripts(scripts, folder, work, jobs)
    rows = rows_of(truth, seen, folder, work)
    totals = score(rows)
    write_result(out, {"totals": totals, "faults": rows})
    Console().print(totals)
    sys.exit(0 if totals["found"] == totals["faults"] else 1)


if __name__ == "__main__":
    typer.run(main)
