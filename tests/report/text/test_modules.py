"""The localization of a difference is one sentence, in every printer."""

from typing import Any

import pytest
from rich.console import Console

from harness.report.formats.terminal import print_report
from harness.report.render import render
from harness.report.text.modules import sentence
from harness.results.comparison import Comparison
from harness.results.localization import Localization, ModuleDifference
from tests.support.small_report import DIFFERENT, small_report


def localization(**changes: Any) -> Localization:
    """A module with the same input and a different output, at step 3."""
    place = ModuleDifference(
        **{
            "micro_batch": 2,
            "direction": "forward",
            "module": "encoder.layer.1",
            "module_class": ("Layer", "Layer"),
            "inputs_equal": True,
            "reference": 12.31,
            "candidate": 12.3,
            "differing_after": 7,
            **changes,
        }
    )
    return Localization(step=3, calls=96, place=place)


START = "step 3, micro-batch 2, forward pass: "
BACK = "step 3, micro-batch 2, backward pass: "


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"distance": 0.00123},
            START
            + "the first difference is in encoder.layer.1 (Layer): same input, different output, "
            "norm 12.31 against 12.3, relative difference 0.0012; 7 later calls also differ",
        ),
        (
            {"differing_after": 1, "candidate": 12.3100001, "module_class": ("Layer", "Other")},
            START + "the first difference is in encoder.layer.1 (Layer against Other): same input, "
            "different output, "
            "norm 12.31 against 12.3100001; 1 later call also differs",
        ),
        (
            {"weights_equal": False, "generators_equal": False, "differing_after": 0},
            START
            + "the first difference is in encoder.layer.1 (Layer): same input, different weights, "
            "different "
            "random generator state, different output, norm 12.31 against 12.3",
        ),
        (
            {"training": (True, False), "differing_after": 0},
            START + "the first difference is in encoder.layer.1 (Layer): same input, training mode "
            "against "
            "evaluation mode, different output, norm 12.31 against 12.3",
        ),
        (
            {"first_seen": "encoder.layer.1.norm", "differing_after": 0},
            START
            + "the first difference is in encoder.layer.1 (Layer): same input, different output, "
            "norm 12.31 "
            "against 12.3; first observed in encoder.layer.1.norm, whose input already differs",
        ),
        (
            {"module": "", "module_class": ("OptimizedModule", "Model"), "differing_after": 0},
            START
            + "the first difference is in the model (OptimizedModule against Model): same input, "
            "compiled as "
            "one module, so its submodules are not visible, different output, norm 12.31 against "
            "12.3",
        ),
        (
            {"module": "", "inputs_equal": False, "other_inputs": ("ids",), "differing_after": 0},
            START + "the model (Layer) receives a different input: ids, norm 12.31 against 12.3",
        ),
        (
            {"direction": "backward", "differing_after": 0},
            BACK
            + "the first difference is in encoder.layer.1 (Layer): same gradient of its output, "
            "different gradient of its input, "
            "norm 12.31 against 12.3",
        ),
        (
            {"direction": "backward", "inputs_equal": False, "differing_after": 0},
            BACK + "the first difference is before encoder.layer.1 (Layer), outside every module: "
            "different gradient of its output, norm 12.31 against 12.3",
        ),
    ],
)
def test_a_place_is_described_in_a_sentence(changes: dict[str, Any], expected: str) -> None:
    """The module, what is the same and what differs."""
    assert expected == sentence(localization(**changes))


def test_the_rank_is_named() -> None:
    """Of several processes that train together."""
    assert "step 3, micro-batch 2, rank 1, " in sentence(localization(rank=1))


def test_without_a_place_the_reason_is_given() -> None:
    """With the step, if one was examined."""
    assert "not localized" == sentence(Localization(note="not localized"))
    assert "step 3: none" == sentence(Localization(step=3, note="none"))


@pytest.mark.parametrize("page", ["report.md", "report.html", "cell.html", "terminal"])
def test_every_printer_shows_it(page: str) -> None:
    """Without a localization it shows none."""
    shown = []
    for found in (localization(), None):
        report = small_report(comparisons=(DIFFERENT.model_copy(update={"localization": found}),))
        if page == "terminal":
            console = Console(width=400)
            with console.capture() as captured:
                print_report(report, console)
            shown.append(captured.get())
        else:
            shown.append(render(report, page))
    assert [True, False] == [
        "forward pass: the first difference is in encoder.layer.1 (Layer)" in text for text in shown
    ]


def test_a_report_written_before_0_2_is_read() -> None:
    """Its field was called `dig`; written again it has today's name. Control: no third name."""
    pair = DIFFERENT.model_copy(update={"localization": localization()})
    stored = pair.model_dump_json()
    assert pair == Comparison.model_validate_json(stored)
    assert '"localization":' in stored
    old = stored.replace('"localization":', '"dig":')
    assert pair == Comparison.model_validate_json(old)
    unknown = Comparison.model_validate_json(stored.replace('"localization":', '"module":'))
    assert None is unknown.localization
