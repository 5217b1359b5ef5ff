"""Which options of a `RunRequest` fit together.

Each error gives the rule, the value met and the remedy.

Nothing here looks at the machine: whether a port is free or an environment exists is checked where
it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.spec import registry
from harness.spec.case import LEAST_DRAWS
from harness.spec.slurm import job_parameters

if TYPE_CHECKING:
    from harness.spec.request import RunRequest

__all__ = ["check_request"]


def check_request(request: RunRequest) -> None:
    """Raise `SpecError` if the options of `request` do not fit together."""
    _check_cases(request)
    _check_devices(request)
    _check_libraries(request)
    _check_launcher(request)
    _check_nodes(request)
    _check_executor(request)
    _check_comparisons(request)


def _check_cases(request: RunRequest) -> None:
    if request.suite is not None and request.cases:
        names = " ".join(one if isinstance(one, str) else one.name for one in request.cases)
        raise SpecError("a suite has its own cases", names, "omit the cases, or the suite")
    if not request.loops:
        raise SpecError("a run needs a loop", "none", f"add {request.option('loops', 'plain')}")
    for name in request.loops:
        registry.loop(name)
    case_names = [case.name for case in request.base_cases]
    if len(set(case_names)) < len(case_names):
        raise SpecError("each case of a run has its own name", ", ".join(case_names), "rename one")
    if request.resume and request.out is None:
        rule = f"{request.option('resume')} continues in an output folder"
        raise SpecError(rule, "none", f"add {request.option('out', 'FOLDER')}")


def _check_devices(request: RunRequest) -> None:
    if request.devices is None:
        return
    rule = f"{request.option('devices')} takes two different devices or more"
    if len(set(request.devices)) < max(2, len(request.devices)):
        remedy = f"write {request.option('devices', ('cpu', 'cuda'))}"
        raise SpecError(rule, ",".join(request.devices) or "none", remedy)
    rule = f"{request.option('devices')} chooses the devices and the digests"
    _refuse(request, rule, "device", "digests")


def _check_libraries(request: RunRequest) -> None:
    if not request.has_library_sets:
        return
    both = f"{request.option('interpreters')} and {request.option('requirements')}"
    if request.interpreters and request.requirements:
        raise SpecError("libraries come from interpreters or requirements", both, "omit one")
    rule = f"{both} compare each loop with itself on one machine"
    _refuse(request, rule, "devices", "noise", "nnodes", "localize")
    if request.launcher == "accelerate":
        rule = f"accelerate launch starts its own interpreters, so {both} do not apply"
        remedy = f"use {request.option('launcher', 'torchrun')}"
        raise SpecError(rule, request.option("launcher", request.launcher), remedy)


def _check_launcher(request: RunRequest) -> None:
    if request.launcher_config is not None and request.launcher != "accelerate":
        rule = f"{request.option('launcher_config')} configures accelerate launch"
        met = request.option("launcher", request.launcher)
        raise SpecError(rule, met, f"add {request.option('launcher', 'accelerate')}")


def _check_nodes(request: RunRequest) -> None:
    if request.node_rank is not None and request.node_rank >= request.nnodes:
        rule = f"{request.option('node_rank')} counts from 0 to {request.option('nnodes')} minus 1"
        met = f"{request.option('node_rank', request.node_rank)} of {request.nnodes}"
        raise SpecError(rule, met, f"lower {request.option('node_rank')}")
    if request.nnodes == 1:
        return
    for name, purpose, value in (
        ("node_rank", "numbers each node", "0, 1, ..."),
        ("master_addr", "is the address at which all nodes meet node 0", "HOST"),
        ("out", "is one folder that all nodes share", "FOLDER"),
    ):
        if getattr(request, name) is None:
            rule = f"{request.option(name)} {purpose}"
            raise SpecError(rule, "none", f"add {request.option(name, value)} on each node")
    if request.jobs not in (None, 1):
        rule = "several nodes make one run at a time"
        met = request.option("jobs", request.jobs)
        raise SpecError(rule, met, f"omit {request.option('jobs')}")
    if request.launcher == "notebook":
        rule = "notebook_launcher works on one node"
        remedy = f"omit {request.option('launcher')} or {request.option('nnodes')}"
        raise SpecError(rule, request.option("nnodes", request.nnodes), remedy)
    if any(case.resume_at is not None for case in request.base_cases):
        # Nodes would have to agree on which process is killed before all start again.
        rule = f"{request.option('resume_at')} works on one node"
        remedy = f"omit {request.option('resume_at')} or {request.option('nnodes')}"
        raise SpecError(rule, request.option("nnodes", request.nnodes), remedy)


def _check_executor(request: RunRequest) -> None:
    slurm = request.option("executor", "slurm")
    if request.executor == "local":
        if request.slurm:
            met = " ".join(request.slurm)
            rule = f"{request.option('slurm')} applies to jobs of a cluster"
            raise SpecError(rule, met, f"add {slurm}")
        return
    job_parameters(request.slurm, request.option("slurm"))
    _refuse(request, f"{slurm} makes each run on one node", "nnodes")
    if request.localize:
        _refuse(request, f"{slurm} replays no run", "localize")


def _check_comparisons(request: RunRequest) -> None:
    if request.seeds is not None and request.seeds < 2:
        rule = f"{request.option('seeds')} takes 2 or more, because one seed shows no spread"
        raise SpecError(rule, request.seeds, f"write {request.option('seeds', 5)}")
    if request.margins and request.seeds is None:
        rule = f"{request.option('margins')} applies to several seeds"
        raise SpecError(rule, "one seed", f"add {request.option('seeds', 5)}")
    if request.noise is not None and request.noise < LEAST_DRAWS:
        rule = f"{request.option('noise')} takes {LEAST_DRAWS} draws or more"
        raise SpecError(rule, request.noise, f"write {request.option('noise', 8)}")
    if request.detail != "full" and any(case.noise is not None for case in request.base_cases):
        rule = "the noise band is measured on full traces"
        remedy = f"omit {request.option('detail')} or {request.option('noise')}"
        raise SpecError(rule, request.option("detail", request.detail), remedy)
    if request.localize:  # chosen, not by default
        rule = f"{request.option('localize')} replays pairs of single runs on one node"
        _refuse(request, rule, "seeds", "devices", "nnodes")


def _refuse(request: RunRequest, rule: str, *names: str) -> None:
    """Raise `SpecError` if any of these fields differs from its default."""
    fields = type(request).model_fields
    met = [n for n in names if getattr(request, n) != fields[n].default]
    if met:
        values = ", ".join(request.option(name, getattr(request, name)) for name in met)
        raise SpecError(rule, values, f"omit {', '.join(map(request.option, met))}")
