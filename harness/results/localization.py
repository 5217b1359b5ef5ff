"""The module in which two runs diverge first, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Direction", "Localization", "ModuleDifference"]


Direction = Literal["forward", "backward"]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class ModuleDifference(_Result):
    """One call of a module that gave something else on the other side.

    In the backward pass a module takes the gradient of its output, and gives that of its inputs.
    """

    micro_batch: int
    """Its number on its process."""
    rank: int | None = None
    """Of several processes that train together, the one in which the two differ."""
    direction: Direction
    module: str
    """Its name within the model; empty: the model itself."""
    module_class: tuple[str, str]
    """On each side."""
    inputs_equal: bool
    """Whether it took the same; if not, the difference comes from before it."""
    other_inputs: tuple[str, ...] = ()
    """What it took otherwise."""
    other_types: tuple[str, ...] = ()
    """What it took as another type, and so says nothing about whether it took the same."""
    weights_equal: bool = True
    """Whether its own parameters are the same."""
    generators_equal: bool = True
    """Whether the random generators stood alike before it."""
    training: tuple[bool, bool] = (True, True)
    """Whether it was in training mode, on each side."""
    reference: float
    """2-norm of what it gave otherwise; of what it took, where it gave nothing else."""
    candidate: float
    distance: float | None = None
    """2-norm of the difference over that of the reference, estimated from sketches with a standard
    deviation of a tenth; None where it cannot be told."""
    first_seen: str | None = None
    """The first module that took something else, where that was before this one ended: what it took
    was made in this one, outside of the modules in it that give."""
    differing_after: int
    """How many calls after it in the same pass gave something else too."""


class Localization(_Result):
    """What looking into the modules gave."""

    step: int | None = None
    """The step looked into; None: none was."""
    place: ModuleDifference | None = None
    """Where the two part first; None: nowhere, for the reason in `note`."""
    calls: int = 0
    """Calls of modules, forward and backward, that were compared."""
    note: str = ""
    """Why there is no place."""
