"""The first module in which two runs diverge."""

from __future__ import annotations

from typing import Literal

from harness.results.base import Result

__all__ = ["Direction", "Localization", "ModuleDifference"]


Direction = Literal["forward", "backward"]


class ModuleDifference(Result):
    """One call of a module whose outputs differ between two runs.

    In the backward pass the inputs of a call are the gradients of the module's outputs, and its
    outputs are the gradients of the module's inputs.
    """

    micro_batch: int
    """Number of the micro-batch on its process."""
    rank: int | None = None
    """With several processes: the rank of the process that differs."""
    direction: Direction
    """The pass in which the outputs differ."""
    module: str
    """Name of the module within the model; empty for the model itself."""
    module_class: tuple[str, str]
    """Class of the module in the reference and in the candidate."""
    inputs_equal: bool
    """Whether the inputs are equal; if not, the divergence is before this call."""
    other_inputs: tuple[str, ...] = ()
    """Names of the inputs that differ."""
    other_types: tuple[str, ...] = ()
    """Inputs of another type, whose values are not compared."""
    weights_equal: bool = True
    """Whether the module's own parameters are equal."""
    generators_equal: bool = True
    """Whether the states of the random generators before the call are equal."""
    training: tuple[bool, bool] = (True, True)
    """Whether the module is in training mode, in the reference and in the candidate."""
    reference: float
    """2-norm of the outputs that differ in the reference; of the inputs, if no output differs."""
    candidate: float
    """The same norm in the candidate."""
    distance: float | None = None
    """2-norm of the difference / 2-norm of the reference, estimated from sketches with a relative
    standard deviation of 0.1; None if it is not known."""
    first_seen: str | None = None
    """The first inner module with different inputs. Its inputs were computed in this module's own
    code, outside of its inner modules."""
    differing_after: int
    """Number of later calls in the same pass that differ too."""


class Localization(Result):
    """The result of comparing the modules of two runs at one step."""

    step: int | None = None
    """The step whose modules were compared; None if no step was."""
    place: ModuleDifference | None = None
    """The first divergence; None for the reason in `note`."""
    calls: int = 0
    """Number of module calls compared, forward and backward."""
    note: str = ""
    """Why there is no place; empty if there is one."""
