"""The first module and the first operation in which two runs diverge."""

from __future__ import annotations

from typing import Literal

from harness.results.base import Result

__all__ = [
    "Code",
    "Direction",
    "Draws",
    "Localization",
    "ModuleDifference",
    "Operation",
    "OperationDifference",
    "OperationKind",
    "Share",
    "StateDifference",
    "StateKind",
    "StatementDifferences",
]


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


OperationKind = Literal[
    "arguments", "inputs", "output", "random", "others", "one_side", "more_draws", "enters"
]


class Operation(Result):
    """One operation of torch in one of two runs, and the user's code that called it."""

    operation: str
    """torch's name of it, such as `aten.mul.Tensor`."""
    phase: Literal["before", "forward", "backward", "update", "after"]
    """`before`: before the first forward pass of the step. `update`: after the last backward pass.
    `after`: between the update and the next forward pass."""
    place: str
    """`FILE:LINE` of the call. In the backward pass, of the forward call that it belongs to, if
    that is known. Empty: no file of the user's."""
    source: str
    """The text of that call."""
    library: str = ""
    """`FILE:LINE` within a library that made the call; empty if none did."""
    module: str = ""
    """Name of the module in whose forward pass it runs, or ran; empty outside of every module."""
    norm: float | None = None
    """2-norm of its first output that differs; None if that holds no floats."""


class Draws(Result):
    """The operations that one call in the user's code led to and that draw random numbers."""

    place: str
    """`FILE:LINE` of the call; empty: no file of the user's."""
    source: str
    """The text of the call."""
    operations: int
    """How many there are in the step."""


Share = Literal["all", "some", "none"]


class OperationDifference(Result):
    """The first operations whose outputs differ though all their inputs are equal in both runs.

    Followed back from the gradients and weights that differ at the end of the step.
    """

    kind: OperationKind
    """`arguments`: the same operation on equal tensors, with other arguments. `inputs`: the same
    operation reads other values, which both runs have; the operations are those that made them.
    `output`: the same operation with equal inputs and arguments has another output. `random`: the
    same, and it draws numbers. `others`: the two compute other operations. `one_side`: one makes a
    value that the other does not have. `more_draws`: one draws random numbers that the other does
    not. `enters`: a value that only this run has was made before the step, or in Python; the
    operation is the first that reads it."""
    rank: int | None = None
    """With several processes: the rank."""
    reference: Operation | None = None
    """The operation of the reference; None if it has none there."""
    candidate: Operation | None = None
    """That of the candidate."""
    arguments: tuple[tuple[str, str, str], ...] = ()
    """Name, reference's value and candidate's value of arguments that differ."""
    draws: tuple[tuple[Draws, ...], tuple[Draws, ...]] = ((), ())
    """For `more_draws`: the draws of the step in the reference and in the candidate."""
    counterpart: Operation | None = None
    """For `one_side`: what the other run does with the values that the operation reads, in an
    operation whose output the first run does not have; else the last operation of the other run
    that made one of them. None: neither."""
    counterpart_reads: Share = "none"
    """How many of these values the counterpart reads."""


class Code(Result):
    """A statement of the user's code."""

    place: str
    """`FILE:LINE`."""
    source: str
    """Its text on one line; of a statement that holds others, its head."""


StateKind = Literal[
    "argument", "attribute", "class", "made", "requires_grad", "seed", "setting", "weight"
]


class StateDifference(Result):
    """A part of the state with which the two runs entered the step, and that differs.

    Parts with equal values that the same two lines set are reported together.
    """

    kind: StateKind
    """`attribute` and `class` are of modules, `weight` of an initial value, `setting` and the time
    at which it was `made` of an optimizer, `seed` of torch's global generator, `argument` of the
    settings of a Trainer."""
    what: str
    """The name of the attribute or setting; empty for the other kinds."""
    names: tuple[str, ...]
    """The first modules, tensors or groups with this difference."""
    count: int
    """How many there are."""
    values: tuple[str | None, str | None]
    """In the reference and in the candidate; None: it has no such part."""
    reference: Code | None = None
    """The line of the reference that set it last; None: not known."""
    candidate: Code | None = None
    """The same of the candidate."""


class StatementDifferences(Result):
    """Statements of the user's code that ran, until the end of the step, in one run alone.

    A statement is known by its text, and by its place in the order of the first runs.
    """

    statements: tuple[int, int]
    """How many statements ran in the reference and in the candidate."""
    places: tuple[tuple[tuple[Code, ...], tuple[Code, ...]], ...] = ()
    """What ran in the reference alone and in the candidate alone, at each place of the order."""
    note: str = ""
    """Why they are not listed; empty if they are."""
    two_programs: bool = False
    """Whether so few statements ran in both runs that these are two programs, not two versions of
    one."""


class Localization(Result):
    """The result of comparing the modules and operations of two runs at one step."""

    step: int | None = None
    """The step whose modules were compared; None if no step was."""
    place: ModuleDifference | None = None
    """The first divergence; None for the reason in `note`."""
    calls: int = 0
    """Number of module calls compared, forward and backward."""
    operation: OperationDifference | None = None
    """The first operation that differs; None for the reason in `operation_note`."""
    operations: tuple[int, int] = (0, 0)
    """Number of operations of the step in the reference and in the candidate."""
    operation_note: str = ""
    """Why there is no operation; empty if there is one."""
    draw: OperationDifference | None = None
    """The first draw of random numbers that differs, if Python may stand between it and the first
    divergence, as in an order of rows. Whether the one comes from the other is not known."""
    lines: tuple[tuple[Code, ...], tuple[Code, ...]] = ((), ())
    """In the reference and in the candidate: the first lines that make values which lead to the
    difference, and which that run alone has."""
    state: tuple[StateDifference, ...] = ()
    """What differs in the state with which the runs entered the step."""
    arguments: tuple[Code | None, Code | None] = (None, None)
    """The statement that made the settings of a Trainer, in the reference and in the candidate."""
    definitions: tuple[tuple[Code, ...], tuple[Code, ...]] = ((), ())
    """In the reference and in the candidate: the statements that may have set what the lines
    read at which the two differ, without those that both have."""
    statements: StatementDifferences | None = None
    """Which statements ran in one run alone; None: it is not known which ran."""
    note: str = ""
    """Why there is no place; empty if there is one."""
