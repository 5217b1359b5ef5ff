"""The loops, the workloads and their cases: one file each in the folders of `harness/training/`.

The file of a loop or workload describes it, by its docstring and by literal constants. They are
read from the source and never executed, so that listing them needs no torch.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from harness.errors import LoopUnavailable, SpecError, unknown_name
from harness.spec.aliases import canonical_fields
from harness.spec.case import Case, RunSpec
from harness.spec.recipe import Conventions, Option, Recipe, build, parse_value
from harness.spec.source import literal_defaults, read_source, require_function

__all__ = [
    "CASE_KEYS",
    "DEFAULT_WORKLOAD",
    "ROW_LIMITS",
    "LoopEntry",
    "WorkloadEntry",
    "case_from_file",
    "cases",
    "loop",
    "loops",
    "run_spec",
    "with_settings",
    "workload",
    "workloads",
]

_TRAINING = Path(__file__).parent.parent / "training"
ROW_LIMITS = ("train_rows", "eval_rows")
"""Options of every task of a user's: the rows that are read; 0: all."""
DEFAULT_WORKLOAD = "paraphrase"
"""The workload of a case file that names none."""
_EXPANDED = ("seed_of", "device_of", "libraries", "libraries_of")
CASE_KEYS = tuple(name for name in Case.model_fields if name not in _EXPANDED)
"""The keys of a case file: the fields of `Case` without those that an expansion sets."""
_FIRST = ("plain", "accelerated", "trainer")  # the reference comes first


@dataclass(frozen=True)
class LoopEntry:
    """A training loop."""

    name: str
    summary: str
    path: Path
    native: dict[str, Any]
    """Recipe fields, with the values that the framework of this loop, or the course, uses by
    itself."""
    native_distributed: dict[str, Any]
    """Further fields if several processes train together."""
    requires: dict[str, str]
    """Optional libraries that it needs, each with the extra of this package that installs it."""


@dataclass(frozen=True)
class WorkloadEntry:
    """A task: model, data, loss and evaluation."""

    name: str
    summary: str
    options: dict[str, Option]
    """Options that `--set` takes besides the recipe fields, with their defaults."""
    recipe: dict[str, Any]
    """Recipe fields whose values in its own case differ from the defaults."""


def loops() -> dict[str, LoopEntry]:
    """All loops by name, the reference first."""
    found = {path.stem: _loop(path) for path in _modules("loops")}
    return {name: found[name] for name in (*_FIRST, *sorted(found.keys() - set(_FIRST)))}


def loop(name: str) -> LoopEntry:
    """The loop of that name, or in that file of the user. Raises `SpecError`."""
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise SpecError("a loop given as a file must exist", name, "check the path")
        remedy = "add it, or begin with a loop of `harness init loop`"
        require_function(read_source(path), "train", "train(workload, recipe, probe)", remedy)
        return _loop(path.resolve())
    known = loops()
    if name not in known:
        raise unknown_name("loop", name, [*known, "or the path of a file that ends in .py"])
    for library, extra in known[name].requires.items():
        if find_spec(library) is None:
            raise LoopUnavailable(
                f"the loop {name} needs the extra '{extra}'",
                f"missing: {library}",
                f"pip install 'trainloop-harness[{extra}]'",
            )
    return known[name]


@cache
def workloads() -> dict[str, WorkloadEntry]:
    """All built-in workloads by name."""
    found = {}
    for path in sorted(_modules("workloads")):
        source = read_source(path)
        options, recipe = (source.constants.get(name, {}) for name in ("OPTIONS", "RECIPE"))
        found[path.stem] = WorkloadEntry(path.stem, source.summary, options, recipe)
    return found


def workload(name: str) -> WorkloadEntry:
    """The workload of that name, or the task in that file of the user. Raises `SpecError`."""
    if name.endswith(".py"):
        return _task(Path(name))
    known = workloads()
    if name not in known:
        raise unknown_name("workload", name, [*known, "or the path of a file that ends in .py"])
    return known[name]


def cases() -> dict[str, Case]:
    """The built-in cases: one for each workload, with its name and its default recipe."""
    return {entry.name: _case_of(entry, entry.name) for entry in workloads().values()}


def case(name: str) -> Case:
    """The built-in case of that name, the case in a .toml file, or that of a task in a .py file.

    Raises `SpecError`.
    """
    if name.endswith(".toml"):
        return case_from_file(Path(name))
    if name.endswith(".py"):
        return _case_of(workload(name), re.sub(r"^[^A-Za-z0-9]+", "", Path(name).stem) or "task")
    known = cases()
    if name not in known:
        raise unknown_name("case", name, [*known, "or a file that ends in .toml or .py"])
    return known[name]


def case_from_file(path: Path) -> Case:
    """A case written as TOML: `CASE_KEYS`, with tables `options` and `recipe`.

    The path of a task starts from the folder of the case file. Raises `SpecError`.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise SpecError("a case file must exist", path, "check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError("a case file is TOML", f"{path}: {error}", "correct it") from None
    for name in content:
        if name not in CASE_KEYS:
            raise unknown_name(f"key in {path}", name, CASE_KEYS)
    for name in ("options", "recipe"):
        if not isinstance(content.get(name, {}), dict):
            raise SpecError(f"{name} in a case file is a table", repr(content[name]), "correct it")
    name = str(content.get("workload", DEFAULT_WORKLOAD))
    entry = workload(str(path.parent / name) if name.endswith(".py") else name)
    settings = {**content.pop("options", {}), **content.pop("recipe", {})}
    values = {"name": path.stem, **content, "workload": entry.name, "options": entry.options}
    case = build(Case, {**values, "recipe": build(Recipe, canonical_fields(entry.recipe))})
    return with_settings(case, settings)


def with_settings(case: Case, settings: dict[str, Any]) -> Case:
    """`case` with fields of its recipe and options of its workload changed. Raises `SpecError`.

    A value may be text, as it is typed after `--set KEY=`.
    """
    options = workload(case.workload).options
    recipe: dict[str, Any] = {}
    chosen: dict[str, Option] = {}
    for name, value in canonical_fields(settings).items():
        if name in Recipe.model_fields:
            recipe[name] = _field(name, value) if isinstance(value, str) else value
        elif name in options:
            chosen[name] = _option(name, value, options[name])
        else:
            raise unknown_name(f"key for {case.workload}", name, [*options, *Recipe.model_fields])
    return case.model_copy(
        update={
            "recipe": build(Recipe, {**case.recipe.model_dump(), **recipe}),
            "options": {**options, **case.options, **chosen},
        }
    )


def run_spec(
    case: Case, loop_name: str, conventions: Conventions = "matched", **more: Any
) -> RunSpec:
    """The run of `case` by `loop_name`. Raises `SpecError`."""
    entry = loop(loop_name)
    name = str(entry.path) if loop_name.endswith(".py") else entry.name
    habits = entry.native if conventions == "native" else {}
    if habits and case.world_size > 1:
        habits = habits | entry.native_distributed
    arm = more.get("arm")
    own = canonical_fields(case.overrides.get(entry.name, {}))
    if arm:
        own |= canonical_fields(case.arms[arm])
    values = {**case.recipe.model_dump(), **habits, **own}
    resume_at = more.get("resume_at")
    if resume_at is not None and values["save_every"] is None:
        values["save_every"] = resume_at
    recipe = build(Recipe, values)
    if resume_at is not None and (recipe.save_every or 0) > resume_at:
        raise SpecError(
            "a resumed run needs a checkpoint before the step at which it is killed",
            f"resume at {resume_at}, save_every={recipe.save_every}",
            "lower save_every, or set it to none",
        )
    run = {"case": case, "loop": name, "recipe": recipe, "conventions": conventions, **more}
    return build(RunSpec, run)


def _field(name: str, text: str) -> Any:
    """The value of a recipe field. 'none' stays text if the field cannot be None."""
    value = parse_value(text)
    optional = type(None) in get_args(Recipe.model_fields[name].annotation)
    return text if value is None and not optional else value


def _option(name: str, value: Any, default: Option) -> Option:
    """The value of an option, of the type of its default. Text stays as it was typed."""
    if default is None or isinstance(default, str):
        return None if value is None or str(value).lower() == "none" else str(value)
    value = parse_value(value) if isinstance(value, str) else value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(value, bool) if isinstance(default, bool) else number:
        return value  # type: ignore[no-any-return]  # its type was just checked
    kind = type(default).__name__
    raise SpecError(f"option {name} takes a value of type {kind}", repr(value), "change it")


def _modules(folder: str) -> list[Path]:
    return [path for path in (_TRAINING / folder).glob("*.py") if not path.stem.startswith("_")]


def _loop(path: Path) -> LoopEntry:
    source = read_source(path)
    names = ("NATIVE", "NATIVE_DISTRIBUTED", "REQUIRES")
    native, distributed, requires = (source.constants.get(name, {}) for name in names)
    return LoopEntry(path.stem, source.summary, path, native, distributed, requires)


def _task(path: Path) -> WorkloadEntry:
    """The task in a file of the user. Its options are the arguments of its function `task`."""
    if not path.is_file():
        raise SpecError("a task given as a file must exist", path, "check the path")
    source = read_source(path, "task")
    if source.binds("train") and not source.binds("task"):
        remedy = f"to train with the loop in this file, add it to --loops: --loops plain,{path}"
        raise SpecError("a task is a file with a function task()", path, remedy)
    remedy = "add it, or begin with a task of `harness init task`"
    require_function(source, "task", "task()", remedy)
    function = source.function("task")
    options: dict[str, Option] = dict.fromkeys(ROW_LIMITS, 0)
    options |= literal_defaults(function, path) if function is not None else {}
    clash = sorted(options.keys() & Recipe.model_fields.keys())
    if clash:
        raise SpecError("an option of a task is no field of the recipe", clash[0], "rename it")
    return WorkloadEntry(
        _portable(path), source.summary, options, source.constants.get("RECIPE", {})
    )


def _portable(path: Path) -> str:
    """The path from the current folder if the file is below it: then a record names no machine."""
    whole = Path(os.path.abspath(path))
    here = Path.cwd()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)


def _case_of(entry: WorkloadEntry, name: str) -> Case:
    recipe = build(Recipe, canonical_fields(entry.recipe))
    return build(
        Case,
        {"name": name, "workload": entry.name, "options": entry.options, "recipe": recipe},
    )
