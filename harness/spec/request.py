"""`RunRequest`: what one `harness run` does. The command line and `harness.run` both build it.

`request_rules` refuses options that do not fit together, the same ones for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from harness.errors import check_known
from harness.spec import registry
from harness.spec.case import Case
from harness.spec.expand import expand_by_device, expand_by_libraries, expand_by_seed
from harness.spec.recipe import (
    CONVENTIONS,
    DETAILS,
    DEVICES,
    DIGESTS,
    EXECUTORS,
    LAUNCHERS,
    Conventions,
    Detail,
    Device,
    Digests,
    Executor,
    Frozen,
    Launcher,
)
from harness.spec.request_rules import check_request
from harness.spec.spelling import Spelling, command_words, spelled
from harness.spec.suites import SUITES

__all__ = ["DEFAULT_CASE", "DEFAULT_LOOPS", "PORT", "TIMEOUT_S", "RunRequest"]

DEFAULT_CASE = "paraphrase"
DEFAULT_LOOPS = ("plain", "accelerated", "trainer")
TIMEOUT_S = 1800.0
"""A run that reports no step for this long has hung. Evaluation and compilation count."""
PORT = 29500
"""torchrun's own default."""
_NAMES: dict[str, Sequence[str]] = {
    "conventions": CONVENTIONS,
    "detail": DETAILS,
    "device": DEVICES,
    "devices": DEVICES,
    "digests": DIGESTS,
    "executor": EXECUTORS,
    "launcher": LAUNCHERS,
    "suite": tuple(SUITES),
}
"""Fields whose values have names, with the names."""


class RunRequest(Frozen):
    """What is to be trained, where, and what is compared. Raises `SpecError` if it does not fit."""

    cases: tuple[str | Case, ...] = ()
    """Names of cases, paths of case files, or cases. Empty: those of `suite`, or `paraphrase`."""
    suite: str | None = None
    """A named set of cases, instead of `cases`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields and workload options that are changed in every case."""
    loops: tuple[str, ...] = DEFAULT_LOOPS
    """Names of loops, or paths of the user's own; the first is the reference."""
    conventions: Conventions = "matched"
    """Whether every loop follows one recipe, or keeps its framework's habits."""

    device: Device | None = None
    """Where each case is trained; None: on the case's own device."""
    devices: tuple[Device, ...] | None = None
    """Each loop is trained on each of these and compared with itself on the first."""
    digests: Digests | None = None
    """Where tensors are digested; None: where the case says, or where they are trained."""
    interpreters: tuple[str, ...] = ()
    """Each loop is trained with the libraries of each of these and compared with itself."""
    requirements: tuple[str, ...] = ()
    """The same, with one environment made for each set of requirements."""
    environments: Path | None = None
    """Folder that keeps such environments; None: the user's cache."""
    direct_references: bool = False
    """Whether a requirement may name a URL."""

    processes: Annotated[int, Field(ge=1)] | None = None
    """Processes on each node that train one model together; None: as the case says."""
    nnodes: int = Field(1, ge=1)
    """Machines that train together."""
    node_rank: int | None = Field(None, ge=0)
    """The number of this machine; node 0 gathers the records."""
    master_addr: str | None = None
    """Address of node 0."""
    master_port: int = Field(PORT, ge=1, le=65535)
    """A free port of node 0."""
    launcher: Launcher = LAUNCHERS[0]
    """What starts the training processes."""
    launcher_config: Path | None = None
    """Configuration file for `accelerate launch`."""
    executor: Executor = EXECUTORS[0]
    """What makes the runs: this machine, or the jobs of a SLURM cluster."""
    slurm: dict[str, str] = Field(default_factory=dict)
    """Options of each job, such as its partition."""
    jobs: int | None = Field(None, ge=1)
    """Runs at a time; None: as many as there are cores for, and on a cluster all."""
    timeout_s: float = Field(TIMEOUT_S, ge=1)
    """A run that reports no step for this long is ended."""

    detail: Detail = "full"
    """How much a trace records."""
    resume_at: int | None = Field(None, ge=1)
    """Each loop also runs killed after this step and resumed from its checkpoint."""
    seeds: int | None = None
    """Seeds with which each loop is trained, so that final metrics can be compared."""
    margins: dict[str, float | str] = Field(default_factory=dict)
    """By final metric: the largest difference that does not matter, as 0.02 or "5%"."""
    noise: int | None = None
    """Perturbed runs of the first loop, which measure its noise band."""
    localize: bool | None = None
    """Whether the first differing operation of each pair is searched for by replays; None: only if
    they are short."""

    out: Path | None = None
    """Folder for the results; None: a new one in `reports/`."""
    resume: bool = False
    """Continue in `out`, where the same request was stopped; a suite does so without it."""
    keep_going: bool = False
    """Continue past a case that is refused. `out` may hold runs of the same request."""
    spelling: Spelling = "command line"
    """How messages spell an option: `--seeds 5` or `seeds=5`."""

    @field_validator(*_NAMES, mode="before")
    @classmethod
    def _known(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        if name == "devices" and value is not None:
            for device in value:
                check_known("device", device, DEVICES)
        elif value is not None:
            check_known(name, value, _NAMES[name])
        return value

    @model_validator(mode="after")
    def _fits(self) -> RunRequest:
        check_request(self)
        return self

    @property
    def world_size(self) -> int:
        """Training processes on all nodes, as far as the request says; else 1."""
        return (self.processes or 1) * self.nnodes

    @property
    def reuses_out(self) -> bool:
        """Whether `out` may hold runs of the same request, which are kept."""
        return self.resume or self.continues

    @property
    def continues(self) -> bool:
        """Whether a case that is refused leaves the others running."""
        return self.keep_going or self.suite is not None

    @property
    def has_library_sets(self) -> bool:
        """Whether each loop is compared with itself across sets of libraries."""
        return bool(self.interpreters or self.requirements)

    @property
    def localizes(self) -> bool:
        """Whether pairs are localized: as chosen; by default those of single cases and runs."""
        if self.localize is not None:
            return self.localize
        many = self.seeds or self.devices or self.suite or self.has_library_sets
        return not many and self.nnodes == 1 and self.executor == "local"

    @property
    def base_cases(self) -> tuple[Case, ...]:
        """The cases with the request's settings, before devices, libraries and seeds."""
        if self.suite is not None:
            return tuple(self._adapted(case) for case in SUITES[self.suite]())
        named = self.cases or (DEFAULT_CASE,)
        return tuple(
            self._adapted(registry.case(one) if isinstance(one, str) else one) for one in named
        )

    def expanded_cases(self, library_sets: Iterable[str] = ()) -> list[Case]:
        """Every case that is trained: one for each device, set of libraries and seed."""
        cases: Iterable[Case] = self.base_cases
        if self.devices is not None:
            cases = [one for case in cases for one in expand_by_device(case, self.devices)]
        if names := list(library_sets):
            cases = [one for case in cases for one in expand_by_libraries(case, names)]
        if self.seeds is not None:
            cases = [one for case in cases for one in expand_by_seed(case, self.seeds)]
        return list(cases)

    def command_line(self) -> list[str]:
        """The words to type for the same request."""
        cases = [case if isinstance(case, str) else case.name for case in self.cases]
        changed = {
            name: value
            for name, field in type(self).model_fields.items()
            if (value := getattr(self, name)) != field.get_default(call_default_factory=True)
        }
        return ["harness", "run", *cases, *command_words(changed)]

    def option(self, name: str, value: object = None) -> str:
        """An option as the user spells it, with a value or without: `--seeds 5`, `seeds=5`."""
        return spelled(self.spelling, name, value)

    def _adapted(self, case: Case) -> Case:
        changes: dict[str, Any] = {
            "device": self.device,
            "digests": self.digests,
            "resume_at": self.resume_at,
            "noise": self.noise,
        }
        if self.processes is not None or self.nnodes > 1:
            changes["world_size"] = self.world_size
        if self.settings:
            case = registry.with_settings(case, self.settings)
        given = {name: value for name, value in changes.items() if value is not None}
        return case.model_copy(update=given)
