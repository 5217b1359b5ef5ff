"""What looking into the modules gave, in one sentence."""

from __future__ import annotations

from harness.results.localization import Localization, ModuleDifference
from harness.units import number

__all__ = ["sentence"]

_COMPILED = "OptimizedModule"  # torch.compile's


def sentence(localization: Localization) -> str:
    """Where the two part, module by module, or why that cannot be said."""
    place = localization.place
    if place is None:
        if localization.step is None:
            return localization.note
        return f"module by module, step {localization.step}: {localization.note}"
    where = f"step {localization.step}, micro-batch {place.micro_batch}"
    if place.rank is not None:
        where += f", rank {place.rank}"
    words = _words(place)
    if place.differing_after:
        more = place.differing_after
        words += (
            f"; {more} call{'s' if more > 1 else ''} after it differ{'' if more > 1 else 's'} too"
        )
    return f"module by module, {where}: the {place.direction} pass {words}"


def _words(place: ModuleDifference) -> str:
    forward = place.direction == "forward"
    name = _name(place)
    if not place.inputs_equal and not place.module:
        what = ", ".join(place.other_inputs)
        gradient = "" if forward else "the gradient of "
        return f"begins with something else: {gradient}{what} of {name}{_norms(place)}"
    if not place.inputs_equal:
        what = "input" if forward else "gradient of its output"
        return f"parts before {name}, outside of any module: other {what}{_norms(place)}"
    told = ["same input" if forward else "same gradient in"]
    if place.other_types:
        told.append(f"but for {', '.join(place.other_types)}")
    if not place.weights_equal:
        told.append("other weights")
    if not place.generators_equal:
        told.append("the random generator stood elsewhere before it")
    if place.training[0] != place.training[1]:
        modes = ("training" if each else "evaluation" for each in place.training)
        told.append(" mode against ".join(modes) + " mode")
    if _COMPILED in place.module_class:
        told.append("compiled as one, so that its inside is not seen")
    told.append("other output" if forward else "other gradient out")
    text = f"parts in {name}: {', '.join(told)}{_norms(place)}"
    if place.first_seen is not None:
        taken = "input" if forward else "gradient of its output"
        text += f"; first seen in {place.first_seen}, whose {taken} is another already"
    return text


def _name(place: ModuleDifference) -> str:
    kinds = " against ".join(dict.fromkeys(place.module_class))
    return f"{place.module or 'the model'} ({kinds})"


def _norms(place: ModuleDifference) -> str:
    """Both norms with as many digits as tell them apart."""
    pair = place.reference, place.candidate
    digits = next((n for n in range(4, 10) if number(pair[0], n) != number(pair[1], n)), 9)
    text = f", norm {number(pair[0], digits)} against {number(pair[1], digits)}"
    if place.distance is not None:
        text += f", apart by {number(place.distance, 2)} of it"
    return text
