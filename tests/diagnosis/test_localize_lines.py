"""The line of a planted fault is the line of code that a localization names."""

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


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Localization]:
    """The localization of each faulty loop against the plain one."""
    folder = tmp_path_factory.mktemp("lines")
    case = small_case(write_pairs(folder / "data"))
    loops = ["plain", *map(path_of, [*FAULTS, *ELSEWHERE])]
    records = train(case, loops, folder / "records", stop_after=4)
    names = {
        record: name
        for record in records
        for name in (*FAULTS, *ELSEWHERE)
        if record.startswith(name)
    }
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
    file, _, number = found.operation.candidate.place.rpartition(":")
    assert Path(path_of(fault)) == Path(file)
    line = Path(file).read_text(encoding="utf-8").splitlines()[int(number) - 1].strip()
    planted = [text for place in mutations()[fault].places for text in place if text[0] == "+"]
    wanted = [ELSEWHERE[fault]] if fault in ELSEWHERE else [text[2:].strip() for text in planted]
    assert line in wanted, found.operation
