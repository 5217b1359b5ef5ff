"""The arms of a bench. An arm is one loop with one recipe, thread count and Python interpreter.

All arms train on the same rows in the same order. A bench trains without evaluations and
checkpoints towards `STEPS_AHEAD` steps, which it never reaches, so that a session can last. Its
learning rates are those of the beginning of such a long schedule. A workload that would use all of
its rows uses the first `ROWS` only, epoch after epoch, so that a session starts quickly. None of
this changes the cost of a step.
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
from harness.execution.environments.interpreter import ask, names_of
from harness.execution.environments.variants import LibrarySet
from harness.results.benchmark import CONTROL
from harness.spec import registry
from harness.spec.aliases import canonical_fields
from harness.spec.case import Case, RunSpec, slug
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
"""Named recipes for arms, as changes of the case's recipe. `fast` shows how little time the same
rows can take. It is a different training: four times the batch, and lower precision."""


class Arm(BaseModel):
    """One participant of a bench."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    spec: RunSpec
    """What the arm trains. `spec.arm` is its name if its recipe differs from the case's."""
    python: str | None = None
    """The interpreter whose libraries it uses; None: the current one."""
    libraries: str | None = None
    """The label of these libraries, by their versions; None: the current libraries."""
    observe: Observe = "nothing"
    """The probe that is attached while the arm is timed."""


def arms_of(
    case: Case,
    loops: Sequence[str],
    conventions: Conventions,
    extra: Iterable[str] = (),
) -> list[Arm]:
    """The reference (the first loop), its control, and all other arms. Raises `SpecError`.

    `extra`: arms as 'NAME=LOOP,FIELD=VALUE,...'. The fields are those of the recipe and `observe`,
    `detail`, `recipe`, `python`. The arms of the case itself are the first loop with other recipe
    fields.
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
        raise SpecError("each arm has its own name", ", ".join(names), "rename an arm")
    return found


def arms_with_libraries(
    case: Case, loop: str, conventions: Conventions, library_sets: Sequence[LibrarySet]
) -> list[Arm]:
    """One loop with each set of libraries; the first is the reference and has a control.

    The name of the case includes the loop, so that each loop of a case has its own bench.
    """
    case = _case_for_turns(case)
    case = case.model_copy(update={"name": f"{case.name}-{_name(loop)}"})
    found = []
    for each in library_sets:
        with_it = case.model_copy(update={"libraries": each.name})
        arm = Arm(
            name=check_name(slug(each.name)),
            spec=_spec(with_it, loop, conventions),
            # Also for the current libraries: all arms must start in the same way.
            python=each.libraries.python or sys.executable,
            libraries=each.name,
        )
        found.append(arm)
    return [found[0], found[0].model_copy(update={"name": CONTROL}), *found[1:]]


def plan_key(arms: Sequence[Arm]) -> str:
    """A digest of the arms, 16 hexadecimal digits: only sessions of one key belong together."""
    text = json.dumps([arm.model_dump(mode="json") for arm in arms], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def check_name(name: str) -> str:
    """`name`, if it is valid in a file name. Raises `SpecError`."""
    if not name or not all(c.isalnum() or c in "._-" for c in name) or not name[0].isalnum():
        raise SpecError(
            "an arm's name consists of letters, digits and ._-", repr(name), "rename the arm"
        )
    return name


def _name(loop: str) -> str:
    return check_name(Path(loop).stem)


def _case_for_turns(case: Case) -> Case:
    if case.world_size > 1:
        raise SpecError(
            "a bench times loops of one process",
            f"{case.world_size} processes",
            "leave out the number of processes",
        )
    limits = {name: rows for name, rows in ROWS.items() if case.options.get(name) == 0}
    options = {**case.options, **limits}
    return case.model_copy(update={"recipe": _for_turns(case.recipe), "options": options})


def _for_turns(recipe: Recipe) -> Recipe:
    return recipe.model_copy(
        update={"max_steps": STEPS_AHEAD, "eval_every": None, "save_every": None}
    )


def _spec(case: Case, loop: str, conventions: Conventions) -> RunSpec:
    return registry.run_spec(case, loop, conventions)


def _changed(
    case: Case, loop: str, conventions: Conventions, name: str, fields: dict[str, Any]
) -> RunSpec:
    fields = canonical_fields(fields)
    build(Recipe, {**case.recipe.model_dump(), **fields})  # refuses unknown fields
    named = case.model_copy(update={"arms": {**case.arms, name: fields}})
    spec = registry.run_spec(named, loop, conventions, arm=name)
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
            raise SpecError("a field of an arm needs a value", repr(pair), "write FIELD=VALUE")
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
        fields = {**RECIPES[recipe], **canonical_fields(fields)}
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
