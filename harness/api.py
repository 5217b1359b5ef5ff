"""The door from Python, a notebook's among them: `harness.run(...)` is `harness run`.

It prints nothing: the report that it returns shows itself, as a page where that is possible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from harness.comparison.run import run_cases
from harness.comparison.seeds import parse_margins
from harness.diagnosis.localize import localize_report
from harness.errors import SpecError, unknown_name
from harness.report.formats.page import render
from harness.report.text.summary import first_lines
from harness.results.metrics import Margin
from harness.results.report import Report
from harness.spec import registry as catalogue
from harness.spec.case import Case
from harness.spec.expand import one_case_a_device, one_case_a_seed
from harness.spec.recipe import DEVICES, LAUNCHERS, Conventions, build

__all__ = ["ShownReport", "run"]


class ShownReport(Report):
    """A report that shows itself: as text, and as a cell of a notebook."""

    def __repr__(self) -> str:
        """What a reader wants to see first, in a few lines."""
        return "\n".join([*first_lines(self), f"verdict: {self.verdict}"])

    def _repr_html_(self) -> str:
        return render(self, "cell.html")


def run(
    case: str = "paraphrase",
    *,
    loops: Sequence[str] = ("plain", "accelerated", "trainer"),
    device: str = "cpu",
    devices: Sequence[str] | None = None,
    conventions: str = "matched",
    seeds: int | None = None,
    margins: Mapping[str, float | str] | None = None,
    resume_at: int | None = None,
    processes: int | None = None,
    launcher: str = LAUNCHERS[0],
    noise: int | None = None,
    localize: bool = False,
    dig: bool = False,
    jobs: int | None = None,
    out: Path | str | None = None,
    **settings: Any,
) -> Report:
    """Train `case` by each loop, compare each pair, and return the report.

    `case`: a name, or a file that ends in .toml. `loops`: names, or paths of loops of your own; the
    first is the reference. `devices`: instead of `device`, to compare each loop with itself across
    them. `settings`: fields of the recipe and options of the workload, as for `--set`. The others
    are the options of `harness run`; `dig` is the name of `localize` before 0.2.0. `out`: a new
    folder; None: one in `reports/`. The report's `folder` says where the records and pages are.

    Raises `SpecError` where something does not fit, with nothing left behind.
    """
    localize = localize or dig
    names = [loops] if isinstance(loops, str) else list(loops)
    if conventions not in get_args(Conventions):
        raise unknown_name("conventions", conventions, get_args(Conventions))
    if device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    if launcher not in LAUNCHERS:
        raise unknown_name("launcher", launcher, LAUNCHERS)
    if margins and seeds is None:
        raise SpecError("margins are for several seeds", dict(margins), "pass seeds=5")
    if localize and (seeds is not None or devices is not None):
        rule = "localize looks into pairs of runs, not of seeds or devices"
        raise SpecError(rule, "seeds" if seeds else "devices", "leave that out")
    texts = [f"{name}={value}" for name, value in (margins or {}).items()]
    within: dict[str, Margin] = parse_margins(texts)
    asked = catalogue.with_settings(catalogue.case(case), settings)
    changed = {"resume_at": resume_at, "world_size": processes, "noise": noise}
    changed = {name: value for name, value in changed.items() if value is not None}
    asked = build(Case, {**asked.model_dump(), "device": device, **changed})
    cases = [asked] if devices is None else one_case_a_device(asked, devices)
    if seeds is not None:
        cases = [one for case_of in cases for one in one_case_a_seed(case_of, seeds)]
    report, folder = run_cases(
        cases,
        loops=names,
        conventions=conventions,  # type: ignore[arg-type]  # just checked against its values
        jobs=jobs,
        out=None if out is None else Path(out),
        command=[
            *("harness", "run", case, "--loops", ",".join(names)),
            *(("--device", device) if devices is None else ("--devices", ",".join(devices))),
            *("--conventions", conventions),
            *(["--localize"] if localize else []),
            *_typed(
                {
                    "--seeds": seeds,
                    "--resume-at": resume_at,
                    "--processes": processes,
                    "--launcher": None if launcher == LAUNCHERS[0] else launcher,
                    "--noise": noise,
                },
                texts,
                settings,
            ),
        ],
        console=Console(quiet=True),
        margins=within,
        launcher=launcher,
    )
    if localize:
        report = localize_report(report, folder, jobs, Console(quiet=True))
    return ShownReport.model_validate(report.model_dump()).kept_in(folder)


def _typed(
    options: Mapping[str, object], margins: Sequence[str], settings: Mapping[str, Any]
) -> list[str]:
    """The rest of what to type for the same."""
    words: list[str] = []
    for name, value in options.items():
        words += [] if value is None else [name, str(value)]
    for margin in margins:
        words += ["--margin", margin]
    for name, value in settings.items():
        words += ["--set", f"{name}={'none' if value is None else value}"]
    return words
