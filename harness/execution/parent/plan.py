"""The runs of a request, and the folder of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.errors import SpecError
from harness.execution.parent.runner import Run
from harness.results.folders import RECORDS
from harness.spec import registry
from harness.spec.case import RunSpec, label
from harness.spec.expand import draw_specs
from harness.spec.paths import check_places
from harness.spec.request import RunRequest

__all__ = ["plan", "runs_in"]


def plan(request: RunRequest, library_sets: Iterable[str] = ()) -> list[RunSpec]:
    """The runs of every case by every loop, in order. Raises `SpecError`.

    `library_sets`: names of the sets of libraries with which each case is trained.
    """
    options: dict[str, Any] = {"launcher": request.launcher, "detail": request.detail}
    if request.launcher_config is not None:
        options["launcher_config"] = str(_checked(request.launcher_config, request))
    if request.nnodes > 1:
        options["nnodes"] = request.nnodes
    conventions, reference = request.conventions, request.loops[0]
    planned: list[RunSpec] = []
    for case in request.expanded_cases(library_sets):
        check_places(case)
        repeats: dict[str, int] = {}
        more = {**options, "sketch": case.noise is not None}
        first = len(planned)
        for name in request.loops:
            repeats[name] = number = repeats.get(name, 0) + 1
            planned.append(registry.run_spec(case, name, conventions, repeat=number, **more))
        planned += [
            registry.run_spec(case, reference, conventions, arm=arm, **more) for arm in case.arms
        ]
        if request.devices is None or case.device == request.devices[0]:
            planned += draw_specs(planned[first:])
        if case.resume_at is not None:
            planned += [
                registry.run_spec(case, name, conventions, resume_at=case.resume_at, **more)
                for name in repeats
            ]
    return planned


def runs_in(
    folder: Path, planned: Sequence[RunSpec], interpreters: Mapping[str, str | None]
) -> list[Run]:
    """Each run with its folder in an output folder. Raises `SpecError` if two share one.

    `interpreters`: by the name of a set of libraries, the interpreter that has them.
    """
    runs = [
        Run(
            spec,
            folder / RECORDS / f"{spec.case.name}-{label(spec)}",
            interpreters.get(spec.case.libraries) if spec.case.libraries else None,
        )
        for spec in planned
    ]
    if len({run.folder for run in runs}) < len(runs):
        loops = ", ".join(spec.loop for spec in planned)
        raise SpecError("each loop has its own name", loops, "rename a file or an arm")
    return runs


def _checked(config: Path, request: RunRequest) -> Path:
    """The absolute path of a configuration of Accelerate that is valid. Raises `SpecError`."""
    remedy = "make one with `accelerate config --config_file FILE`"
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except OSError:
        rule = f"{request.option('launcher_config')} takes a file"
        raise SpecError(rule, config, remedy) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError("a launcher's configuration is YAML", error, remedy) from None
    if not isinstance(content, dict) or "distributed_type" not in content:
        raise SpecError(
            "a launcher's configuration is a mapping with distributed_type", config, remedy
        )
    return config.resolve()
