"""What runs beside what: arms, of which each is one loop with one recipe, thread count and Python.

All arms train on the same rows in the same order, step by step. For that, and so that a session
can last, a bench trains without evaluations and checkpoints towards `STEPS_AHEAD` steps, more than
it ever takes; its learning rates are those of the beginning of so long a schedule. So that a
session soon begins, a workload that would take all of its rows takes the first `ROWS`, epoch after
epoch. None of that changes what a step costs.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.errors import SpecError, unknown_name
from harness.execution.environments.interpreter import ask, names_of, slug
from harness.execution.environments.variants import Side
from harness.results.benchmark import CONTROL
from harness.spec import registry as catalogue
from harness.spec.case import Case, RunSpec
from harness.spec.recipe import DETAILS, Conventions, Recipe, build, parse_value

__all__ = [
    "RECIPES",
    "ROWS",
    "STEPS_AHEAD",
    "Arm",
    "Observe",
    "arms_of",
    "arms_with_libraries",
    "check_name",
    "plan_key",
]

STEPS_AHEAD = 200_000
ROWS: dict[str, int] = {"train_rows": 1024, "eval_rows": 64}
Observe = Literal["nothing", "timing", "trace"]
_OBSERVE: tuple[Observe, ...] = ("nothing", "timing", "trace")
RECIPES: dict[str, dict[str, Any]] = {
    "fast": {
        "per_device_batch_size": 32,
        "sampler": "length_grouped",
        "precision": "bf16",
        "compile": "inductor",
    }
}
"""Recipes that an arm may follow by name, as what they change of the case's own. `fast`: what the
same rows could cost. It is another training: four times the batch, and fewer bits."""


class Arm(BaseModel):
    """One of those that take turns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    spec: RunSpec
    """What it trains. `spec.arm` is its name where it follows another recipe than the case's."""
    python: str | None = None
    """The interpreter whose libraries it uses; None: this one."""
    libraries: str | None = None
    """What these are called, by their versions; None: nothing but those that are here."""
    observe: Observe = "nothing"
    """Which probe watches it while it is timed."""


def arms_of(
    case: Case,
    loops: Sequence[str],
    conventions: Conventions,
    extra: Iterable[str] = (),
) -> list[Arm]:
    """The reference, which is the first loop; its control; and all others. Raises `SpecError`.

    `extra`: arms as 'NAME=LOOP,FIELD=VALUE,...', the fields being those of the recipe and
    `observe`, `detail`, `recipe`, `python`. The case's own arms are the first loop by other fields
    of the recipe.
    """
    if not loops:
        raise SpecError("a bench needs a loop", "none", "pass --loops plain,trainer")
    case = _case_for_turns(case)
    found = [Arm(name=_name(loop), spec=_spec(case, loop, conventions)) for loop in loops[:1]]
    found.append(found[0].model_copy(update={"name": CONTROL}))
    seen = {loops[0]: 1}
    for loop in loops[1:]:
        seen[loop] = seen.get(loop, 0) + 1
        name = _name(loop) if seen[loop] == 1 else f"{_name(loop)}-{seen[loop]}"
        found.append(Arm(name=name, spec=_spec(case, loop, conventions)))
    for name, fields in case.arms.items():
        found.append(Arm(name=name, spec=_changed(case, loops[0], conventions, name, fields)))
    found += [_parsed(text, case, conventions) for text in extra]
    names = [arm.name for arm in found]
    if len(set(names)) < len(names):
        raise SpecError("each arm has its own name", ", ".join(names), "rename one")
    return found


def arms_with_libraries(
    case: Case, loop: str, conventions: Conventions, sides: Sequence[Side]
) -> list[Arm]:
    """One loop with each set of libraries, the first of which is the reference; and its control.

    Their case is named after the loop, so that each loop of a case has a bench of its own.
    """
    case = _case_for_turns(case)
    case = case.model_copy(update={"name": f"{case.name}-{_name(loop)}"})
    found = []
    for side in sides:
        with_it = case.model_copy(update={"libraries": side.name})
        arm = Arm(
            name=check_name(slug(side.name)),
            spec=_spec(with_it, loop, conventions),
            # Also where they are those that are here: all are to start in the same way.
            python=side.libraries.python or sys.executable,
            libraries=side.name,
        )
        found.append(arm)
    return [found[0], found[0].model_copy(update={"name": CONTROL}), *found[1:]]


def plan_key(arms: Sequence[Arm]) -> str:
    """Sixteen hexadecimal digits of what is measured: sessions of one key belong together."""
    text = json.dumps([arm.model_dump(mode="json") for arm in arms], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def check_name(name: str) -> str:
    """`name`, if it may stand in a file's name. Raises `SpecError`."""
    if not name or not all(c.isalnum() or c in "._-" for c in name) or not name[0].isalnum():
        raise SpecError("an arm's name is of letters, digits and ._-", repr(name), "rename it")
    return name


def _name(loop: str) -> str:
    return check_name(Path(loop).stem)


def _case_for_turns(case: Case) -> Case:
    if case.world_size > 1:
        raise SpecError(
            "a bench times loops of one process", f"{case.world_size} processes", "leave them out"
        )
    limits = {name: rows for name, rows in ROWS.items() if case.options.get(name) == 0}
    options = {**case.options, **limits}
    return case.model_copy(update={"recipe": _for_turns(case.recipe), "options": options})


def _for_turns(recipe: Recipe) -> Recipe:
    return recipe.model_copy(
        update={"max_steps": STEPS_AHEAD, "eval_every": None, "save_every": None}
    )


def _spec(case: Case, loop: str, conventions: Conventions) -> RunSpec:
    return catalogue.run_spec(case, loop, conventions)


def _changed(
    case: Case, loop: str, conventions: Conventions, name: str, fields: dict[str, Any]
) -> RunSpec:
    build(Recipe, {**case.recipe.model_dump(), **fields})  # refuses what is no field
    named = case.model_copy(update={"arms": {**case.arms, name: fields}})
    spec = catalogue.run_spec(named, loop, conventions, arm=name)
    return spec.model_copy(update={"recipe": _for_turns(spec.recipe)})


def _parsed(text: str, case: Case, conventions: Conventions) -> Arm:
    name, equals, rest = text.partition("=")
    loop, *pairs = (part.strip() for part in rest.split(","))
    if not equals or not loop or "," in name:
        raise SpecError(
            "--arm takes NAME=LOOP,FIELD=VALUE,...",
            repr(text),
            "write for example two-threads=plain,num_threads=2",
        )
    fields: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SpecError("an arm's field takes a value", repr(pair), "write FIELD=VALUE")
        fields[key] = parse_value(value)
    observe, python = fields.pop("observe", "nothing"), fields.pop("python", None)
    if observe not in _OBSERVE:
        raise unknown_name("way to observe", str(observe), _OBSERVE)
    detail, recipe = fields.pop("detail", "full"), fields.pop("recipe", None)
    if detail not in DETAILS:
        raise unknown_name("detail", str(detail), DETAILS)
    if recipe is not None:
        if recipe not in RECIPES:
            raise unknown_name("recipe", str(recipe), RECIPES)
        fields = {**RECIPES[recipe], **fields}
    spec = _changed(case, loop, conventions, name.strip(), fields)
    arm = Arm(
        name=check_name(name.strip()),
        spec=spec.model_copy(update={"detail": detail}),
        observe=observe,
    )
    if python is None:
        return arm
    other = ask(str(python))
    _, libraries = names_of([ask(None), other])
    return arm.model_copy(update={"python": other.python, "libraries": libraries})
