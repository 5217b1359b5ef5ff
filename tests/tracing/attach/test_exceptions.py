"""A traceback of a watched program is that of the program alone."""

from __future__ import annotations

import sys
import traceback

import torch
from torch import nn

from harness.tracing.attach.exceptions import cleaned


def fails(model: nn.Module) -> BaseException:
    """The error of a call of the model, with its traceback."""
    try:
        model(torch.ones(1, 5))
    except RuntimeError as error:
        return error
    raise AssertionError("it does not fail")


def text(error: BaseException, clean: bool) -> str:
    place = cleaned(error.__traceback__) if clean else error.__traceback__
    return "".join(traceback.format_exception(type(error), error.with_traceback(place), place))


def test_calls_that_hooks_add_are_left_out() -> None:
    """Lines, marks and frames are those of a module without hooks. Not cleaned, they differ."""
    model = nn.Sequential(nn.Linear(2, 2))
    plain = text(fails(model), clean=False)
    handle = model.register_forward_pre_hook(lambda module, args: None)
    error = fails(model)
    hooked = "".join(traceback.format_exception(error))
    handle.remove()
    assert plain == text(error, clean=True)
    assert plain != hooked


def test_a_module_with_hooks_of_its_own_keeps_its_calls() -> None:
    """The program registered them itself."""
    model = nn.Sequential(nn.Linear(2, 2))
    model.register_forward_pre_hook(lambda module, args: None)
    error = fails(model)
    assert text(error, clean=False) == text(error, clean=True)
    assert "inner" in text(error, clean=True)


def test_what_the_harness_did_when_a_signal_came_is_left_out() -> None:
    """The traceback ends in the program. The frames of another package, for control, stay."""
    names = {"__name__": "harness.tracing.probe"}
    code = compile("def probe(): raise KeyboardInterrupt", cleaned.__code__.co_filename, "exec")
    for name, kept in (("harness.tracing.probe", 1), ("another", 2)):
        names["__name__"] = name
        exec(code, names)  # noqa: S102  # our own text
        try:
            names["probe"]()  # type: ignore[operator]
        except KeyboardInterrupt:
            place = cleaned(sys.exc_info()[2])
            assert kept == len(traceback.extract_tb(place))
