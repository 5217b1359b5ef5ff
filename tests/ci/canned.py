"""A stand-in for the harness, which leaves reports that were written before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.cli.shared import EXIT_CODES
from harness.results.benchmark import BenchResult
from harness.results.comparison import Comparison, Finding
from harness.results.regression import CheckItem, CheckResult, UsedBaseline
from harness.results.report import Report
from tests.support.small_report import DIFFERENT, IDENTICAL, small_report

__all__ = ["AGREES", "DIFFERS", "HOSTILE", "NO_BASELINE", "PASSES", "REGRESSED", "TIMED", "answers"]

HOSTILE = (
    "::error title=planted::planted%0A\\r::add-path::/x\\n  ::set-env name=A::b\\n##[group]x\\n"
)


def gate(listed: Any, words: str, file: str | None = "baselines/tiny.json") -> CheckResult:
    """What a check found of one thing."""
    item = CheckItem(
        case="tiny", loop="", metric="steps", tier="exact", listed=listed, sentence=words
    )
    used = UsedBaseline(case="tiny", file=file, machine_class="cpu-2")
    return CheckResult(items=(item,), baselines=(used,))


COMMAND = ("harness", "check", "tiny", "--baseline=baselines", "--out=/x")
AGREES = small_report(comparisons=(IDENTICAL,), verdict="equivalent")
DIFFERS = small_report(comparisons=(DIFFERENT,), verdict="different")
PASSES = AGREES.model_copy(update={"gate": gate("unchanged", "still 100"), "command": COMMAND})
REGRESSED = AGREES.model_copy(
    update={
        "verdict": "regression",
        "gate": gate("regressed", "it was 100 and is 101"),
        "command": COMMAND,
    }
)
NO_BASELINE = AGREES.model_copy(
    update={
        "verdict": "no_verdict",
        "gate": gate("missing", "there is no baseline", None),
        "command": COMMAND,
    }
)


SLOWER = Comparison(
    case="tiny",
    reference="plain",
    candidate="trainer",
    outcome="slower",
    steps=6,
    equality="identical",
    findings=(
        Finding(
            metric="own_step_time",
            unit="s",
            outcome="slower",
            reference=0.1,
            candidate=0.2,
            ratio=2.0,
            interval=(1.9, 2.1),
            confidence=0.95,
            smallest_visible=1.02,
        ),
    ),
)
BENCH = BenchResult(
    statistic="own_step_time",
    reason="it is steady",
    margin=0.02,
    sessions=5,
    rounds=3,
    steps_per_turn=4,
    control_ratio=1.0,
    control_interval=(0.99, 1.01),
    control_why_not="",
    arms=(),
    peak_flops_per_s=None,
    took_s=60.0,
    stopped_by="the budget",
)
TIMED = DIFFERS.model_copy(update={"comparisons": (SLOWER,), "bench": {"tiny": BENCH}})


def answers(temp: Path, **reports: Report | int) -> str:
    """A stand-in for the harness: by command a report with its exit code, or a code alone.

    Everything that it is asked is noted in `asked.txt`, and it prints what a hostile loop might.
    """
    lines = [f'[ "$1" = annotate ] || printf "%q " "$@" >>"{temp}/asked.txt"']
    lines += [f'[ "$1" = annotate ] || echo >>"{temp}/asked.txt"']
    for command, answer in reports.items():
        lines += [f'if [ "$1" = {command} ]; then', f"printf '{HOSTILE}'"]
        lines.append('for one in "$@"; do case "$one" in --out=*) out="${one#--out=}";; esac; done')
        if isinstance(answer, Report):
            kept = temp / f"kept-{command}"
            kept.mkdir(parents=True)
            answer.write_json(kept)
            lines += [
                'mkdir -p "$out"',
                f'cp "{kept}"/* "$out"',
                f"exit {EXIT_CODES[answer.verdict]}",
            ]
        else:
            lines += [f'echo "harness: a rule: 100% broken" >&2; exit {answer}']
        lines.append("fi")
    lines.append('[ "$1" = annotate ] || exit 99')
    return "\n".join(lines)
