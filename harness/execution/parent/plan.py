"""Which runs a command asks for, and which of them an earlier one has done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.errors import RecordError, SpecError
from harness.execution.checkpoints import FOLDER, Checkpoints, check_same_run
from harness.execution.nodes import Node
from harness.execution.parent.runner import Run
from harness.results.folders import RECORDS
from harness.results.record import RunRecord
from harness.spec import registry as catalogue
from harness.spec.case import Case, RunSpec, label
from harness.spec.expand import draw_specs
from harness.spec.recipe import Conventions, Detail

__all__ = ["is_done", "plan", "runs_in"]


def plan(
    cases: Sequence[Case],
    loops: Sequence[str],
    conventions: Conventions,
    launcher: str,
    launcher_config: Path | None,
    node: Node | None,
    detail: Detail = "full",
) -> list[RunSpec]:
    """What every case asks of every loop, in order. Raises `SpecError`."""
    if len({case.name for case in cases}) < len(cases):
        raise SpecError(
            "each case of a run has its own name", [c.name for c in cases], "rename one"
        )
    if not loops:
        raise SpecError("a run needs a loop", "none", "pass --loops plain,trainer")
    if node is not None:
        _check_fit_for_nodes(cases, launcher)
    if detail != "full" and any(case.noise is not None for case in cases):
        rule = "noise is judged on all that a trace can hold"
        raise SpecError(rule, f"detail {detail}", "leave --detail out, or --noise")
    launched: dict[str, Any] = {"launcher": launcher, "detail": detail}
    if launcher_config is not None:
        launched["launcher_config"] = str(_checked(launcher_config))
    if node is not None:
        launched["nnodes"] = node.count
    planned: list[RunSpec] = []
    for case in cases:
        seen: dict[str, int] = {}
        more = {**launched, "sketch": case.noise is not None}
        first = len(planned)
        for name in loops:
            seen[name] = seen.get(name, 0) + 1
            planned.append(catalogue.run_spec(case, name, conventions, repeat=seen[name], **more))
        planned += [
            catalogue.run_spec(case, loops[0], conventions, arm=arm, **more) for arm in case.arms
        ]
        planned += draw_specs(planned[first:])
        if case.resume_at is not None:
            planned += [
                catalogue.run_spec(case, name, conventions, resume_at=case.resume_at, **more)
                for name in seen
            ]
    return planned


def _check_fit_for_nodes(cases: Iterable[Case], launcher: str) -> None:
    if launcher == "notebook":
        rule = "notebook_launcher is used on one node"
        raise SpecError(rule, launcher, "leave --launcher out, or --nnodes")
    for case in cases:
        if case.resume_at is not None:
            # Nodes would have to agree on who was killed on purpose before all start again.
            rule = "a resume is tried on one node"
            raise SpecError(rule, f"resume at {case.resume_at}", "leave it out, or --nnodes")


def runs_in(
    folder: Path, planned: Sequence[RunSpec], pythons: Mapping[str, str | None]
) -> list[Run]:
    """Each run with its folder in an output folder. Raises `SpecError` where two share one.

    `pythons`: the interpreter that has the libraries of a case, by what the case calls them.
    """
    runs = [
        Run(
            spec,
            folder / RECORDS / f"{spec.case.name}-{label(spec)}",
            pythons.get(spec.case.libraries) if spec.case.libraries else None,
        )
        for spec in planned
    ]
    if len({run.folder for run in runs}) < len(runs):
        loops = ", ".join(spec.loop for spec in planned)
        raise SpecError("loops need names of their own", loops, "rename a file")
    return runs


def _checked(config: Path) -> Path:
    """A configuration file of Accelerate's that can be read. Raises `SpecError`."""
    remedy = "make one with `accelerate config --config_file FILE`"
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except OSError:
        raise SpecError("--launcher-config takes a file", config, remedy) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError("a launcher's configuration is YAML", error, remedy) from None
    if not isinstance(content, dict) or "distributed_type" not in content:
        raise SpecError(
            "a launcher's configuration is a mapping with distributed_type", config, remedy
        )
    return config.resolve()


def is_done(run: Run) -> bool:
    """Whether the same run was completed here before.

    Raises `SpecError` where another run was, or left a checkpoint there.
    """
    Checkpoints(run.folder / FOLDER).newest(run.spec)
    try:
        header = RunRecord(run.folder).header
    except RecordError:
        return False
    if header.status not in ("completed", "stopped"):
        return False
    check_same_run(header.spec, run.spec)
    return True
