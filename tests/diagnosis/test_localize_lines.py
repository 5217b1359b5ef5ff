"""The line of a planted fault is the line of code that a localization names.

No operation shows what is set in Python; there the statement is listed that one run alone ran, and
what it has set.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from harness.diagnosis.localize import localize_pairs
from harness.results.localization import Localization
from tests.faults.mutations import mutations, path_of
from tests.support.small_runs import comparison, small_case, train, write_pairs

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
FAULTS = (
    "output_of_layer_1_scaled",
    "gradients_clipped_by_value",
    "gradient_centralised",
    "loss_doubled",
    "logits_cooled",
    "embeddings_decayed",
    "bias_gradient_negated",
    "clips_by_largest",
    "classes_weighted",
    "gradient_noise",
    "embedding_noise",
    "goes_backward_twice",
    "gradient_scaled_in_one_tensor",
)
# Faults that end at another line: autograd adds up the gradients of both losses, in `backward`.
ELSEWHERE = {"loss_added_twice": "scaler.scale(loss).backward()"}
# Faults of Python: what they set, as far as it is part of the state before the step.
IN_PYTHON = {
    "embeddings_frozen": ("requires_grad", "True", "False"),
    "forgot_train_mode": ("attribute", "True", "False"),
    "draws_a_number": None,
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Localization]:
    """The localization of each faulty loop against the plain one."""
    folder = tmp_path_factory.mktemp("lines")
    case = small_case(write_pairs(folder / "data"))
    faults = [*FAULTS, *ELSEWHERE, *IN_PYTHON]
    loops = ["plain", *map(path_of, faults)]
    records = train(case, loops, folder / "records", stop_after=5)
    names = {record: name for record in records for name in faults if record.startswith(name)}
    plain = next(record for record in records if record not in names)
    pairs = [comparison(records, plain, record) for record in names]
    found = localize_pairs(
        pairs,
        lambda pair: (records[plain], records[pair.candidate]),
        folder / "localized",
        2,
        QUIET,
    )
    return {names[pair.candidate]: pair.localization for pair in found if pair.localization}


@pytest.mark.parametrize("fault", [*FAULTS, *ELSEWHERE])
def test_the_line_of_a_planted_fault_is_named(fault: str, answers: dict[str, Localization]) -> None:
    """It is one of the lines that the fault adds to its loop; for one fault it is not."""
    found = answers[fault]
    assert found.operation is not None, (found.note, found.operation_note)
    assert found.operation.candidate is not None
    place = found.operation.candidate.place
    assert Path(path_of(fault)) == Path(place.rpartition(":")[0])
    line = _line_at(place)
    planted = [text for place in mutations()[fault].places for text in place if text[0] == "+"]
    wanted = [ELSEWHERE[fault]] if fault in ELSEWHERE else [text[2:].strip() for text in planted]
    assert line in wanted, found.operation


@pytest.mark.parametrize("fault", IN_PYTHON)
def test_the_statement_of_a_fault_in_python_is_listed(
    fault: str, answers: dict[str, Localization]
) -> None:
    """And no other, except what it replaces; what it has set is told with its line."""
    found = answers[fault]
    assert found.statements is not None
    assert not found.statements.note
    planted = [text for place in mutations()[fault].places for text in place]
    added, removed = ({t[2:].strip() for t in planted if t[0] == sign} for sign in "+-")
    ran = [[code for place in found.statements.places for code in place[side]] for side in (0, 1)]
    own = [_line_at(code.place) for code in ran[1]]
    assert added & set(own) or not added
    assert set(own) <= added
    assert {code.source for code in ran[0]} <= removed
    if (state := IN_PYTHON[fault]) is not None:
        kind, *values = state
        one = next(each for each in found.state if each.kind == kind)
        assert tuple(values) == one.values
        where = one.candidate or one.reference
        assert where is not None


def _line_at(place: str) -> str:
    file, _, number = place.rpartition(":")
    return Path(file).read_text(encoding="utf-8").splitlines()[int(number) - 1].strip()
