"""The first module in which two runs differ, in one sentence."""

from __future__ import annotations

from harness.report.text.values import distinct, module_name
from harness.results.localization import Localization, ModuleDifference
from harness.units import number

__all__ = ["sentence"]

_COMPILED = "OptimizedModule"  # torch.compile's


def sentence(localization: Localization) -> str:
    """The first module call that differs, or why none is known."""
    place = localization.place
    if place is None:
        if localization.step is None:
            return localization.note
        return f"step {localization.step}: {localization.note}"
    where = f"step {localization.step}, micro-batch {place.micro_batch}"
    if place.rank is not None:
        where += f", rank {place.rank}"
    text = f"{where}, {place.direction} pass: {_difference(place)}"
    if place.differing_after == 1:
        text += "; 1 later call also differs"
    elif place.differing_after:
        text += f"; {place.differing_after} later calls also differ"
    return text


def _difference(place: ModuleDifference) -> str:
    name = _name(place)
    if not place.inputs_equal and not place.module:
        what = ", ".join(place.other_inputs)
        kind = "input" if place.direction == "forward" else "gradient"
        return f"{name} receives a different {kind}: {what}{_norms(place)}"
    if not place.inputs_equal:
        what = _received(place)
        return (
            f"the first difference is before {name}, outside every module: "
            f"different {what}{_norms(place)}"
        )
    text = f"the first difference is in {name}: {', '.join(_circumstances(place))}{_norms(place)}"
    if place.first_seen is not None:
        text += f"; first observed in {place.first_seen}, whose {_received(place)} already differs"
    return text


def _received(place: ModuleDifference) -> str:
    return "input" if place.direction == "forward" else "gradient of its output"


def _circumstances(place: ModuleDifference) -> list[str]:
    """What is the same for the two calls, and what differs."""
    forward = place.direction == "forward"
    found = [f"same {_received(place)}"]
    if place.other_types:
        found.append(f"except arguments of another type: {', '.join(place.other_types)}")
    if not place.weights_equal:
        found.append("different weights")
    if not place.generators_equal:
        found.append("different random generator state")
    if place.training[0] != place.training[1]:
        modes = ("training" if training else "evaluation" for training in place.training)
        found.append(" mode against ".join(modes) + " mode")
    if _COMPILED in place.module_class:
        found.append("compiled as one module, so its submodules are not visible")
    found.append("different output" if forward else "different gradient of its input")
    return found


def _name(place: ModuleDifference) -> str:
    kinds = " against ".join(dict.fromkeys(place.module_class))
    return f"{module_name(place.module)} ({kinds})"


def _norms(place: ModuleDifference) -> str:
    """Both norms with as many digits as show a difference, and the relative difference."""
    reference, candidate = distinct(place.reference, place.candidate)
    text = f", norm {reference} against {candidate}"
    if place.distance is not None:
        text += f", relative difference {number(place.distance, 2)}"
    return text
