"""Facts on synthetic records: the whole text, what explains, and what holds for every fact."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from harness.comparison.causes.evidence import evidence_of
from harness.comparison.compare import compare
from harness.comparison.facts.find import facts_of
from harness.comparison.stages import compare_stages
from harness.report.text.causes import because, reasons
from harness.report.text.facts import also_lines
from harness.report.text.summary import sentence
from harness.results.comparison import Comparison, Fact
from harness.results.header import Site
from harness.results.record import RunRecord
from harness.results.settings import setting_differences
from harness.spec.command import CommandSpec
from tests.comparison.facts.spoiled import SETTINGS_OF, SPOILS, sound
from tests.support.evidence import evident, scale_gradients
from tests.support.records import Draft, compare_drafts, divided

GOLDEN = Path(__file__).parent / "golden"
OTHER_LINES = "my_loop.py", 40


def of(folder: Path, *names: str) -> Comparison:
    """A candidate with these spoils against a sound reference."""
    candidate = sound(*OTHER_LINES)
    for name in names:
        SPOILS[name][0](candidate)
    return compare_drafts(folder, sound(), candidate)


@pytest.mark.parametrize("name", SPOILS)
def test_a_setting_that_differs_is_explained_by_this_text(name: str, tmp_path: Path) -> None:
    """One sentence first, the lines of code second, the numbers third; never "unknown"."""
    found = of(tmp_path, name)
    text = "\n".join([sentence(found), *reasons(found)]) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == text
    assert SPOILS[name][1] in [fact.id for fact in found.facts if fact.explains_first]
    assert "unknown" not in text


def test_a_setting_without_an_effect_is_stated_of_an_identical_pair(tmp_path: Path) -> None:
    """It explains nothing. The control: of equal settings nothing is said."""
    equal = compare_drafts(tmp_path / "equal", sound(), sound(*OTHER_LINES))
    assert ("identical", ()) == (equal.outcome, equal.facts)

    candidate = sound(*OTHER_LINES)
    candidate.header["settings"]["optimizer.eps"] = 1e-6
    found = compare_drafts(tmp_path / "eps", sound(), candidate)
    assert ("identical", [False]) == (found.outcome, [f.explains_first for f in found.facts])
    (line,) = also_lines(found)
    assert line.startswith(
        "Differs without an effect on these values: eps of the optimizer 1e-06 against 1e-08 ("
    )


@pytest.mark.parametrize("limit", [None, 20.0])
def test_a_clip_that_never_acts_is_stated(limit: float | None, tmp_path: Path) -> None:
    """One run clips at a norm that no gradient reaches, the other does not or at another."""
    runs = [sound(), sound(*OTHER_LINES)]
    for made, clip in zip(runs, (100.0, limit), strict=True):
        made.header["settings"] |= {"clip.kind": "norm", "clip.limit": clip}
        if clip is None:
            del made.header["settings"]["clip.kind"], made.header["settings"]["clip.limit"]
            del made.header["sites"]["clip"]
        for row in made.rows["norms"]:
            row["applied"] = row["gradient"]
    found = compare_drafts(tmp_path, *runs)
    assert "identical" == found.outcome
    expected = "clipping of gradients: none against a norm of 100"
    if limit is not None:
        expected = "clips gradients at 20 against 100"
    assert [expected] == [fact.text for fact in found.facts]


@pytest.mark.parametrize(
    ("given", "moves", "stated"),
    [(None, False, True), (0.0, False, True), (0.5, False, False), (None, True, False)],
)
def test_an_update_without_gradients_is_stated(
    given: float | None, moves: bool, stated: bool, tmp_path: Path
) -> None:
    """Zeroed before the step. The controls: one that is given some, and weights that change."""
    candidate = sound(*OTHER_LINES)
    for row in candidate.rows["norms"]:
        if row["step"]:
            row["applied"] = given
    start = {r["tensor"]: r["weight"] for r in candidate.rows["tensors"] if not r["step"]}
    for row in candidate.rows["tensors"]:
        if row["step"]:
            row["weight"] = row["weight"] ^ 1 if moves else start[row["tensor"]]
    for row in candidate.rows["steps"]:
        row["weights"] ^= 1
    found = compare_drafts(tmp_path, sound(), candidate)
    texts = [fact.text for fact in found.facts if fact.explains_first]
    expected = (
        "the update of candidate is given no gradients, though the backward pass of step 1 makes "
        "some of norm 13"
    )
    assert stated == (expected in texts)


def of_commands(*names: str) -> list[Draft]:
    """Two sound records as commands leave them."""
    runs = [sound(), sound(*OTHER_LINES)]
    for made, name in zip(runs, names, strict=True):
        made.header["spec"] = CommandSpec(name=name, command=("python", f"{name}.py"))
        made.header |= {"evaluations": (), "epochs": 0.0, "steps_expected": None}
        for row in made.rows["micro_batches"]:
            row["sample_ids"] = row["task_loss"] = None
    return runs


@pytest.mark.parametrize("gradients", [True, False])
def test_one_factor_of_loss_and_gradients_is_stated(gradients: bool, tmp_path: Path) -> None:
    """The control: gradients without that factor."""
    one, two = of_commands("one", "two")
    for row in two.rows["micro_batches"]:
        row["loss"] *= 3
    if gradients:
        scale_gradients(two, 3.0)
    for made, source in zip((one, two), ("(loss / 2).backward()", "loss.backward()"), strict=True):
        made.header["sites"]["backward"] = Site(place=f"{source[0]}.py:7", source=source)
    found = compare_drafts(tmp_path, one, two)
    expected = (
        "the loss and all gradients of candidate are 3 times those of reference at step 1 (loss "
        "2.438 against 0.8125)"
    )
    assert gradients == (expected in [fact.text for fact in found.facts if fact.explains_first])
    assert gradients == ("cause unknown" not in because(found))


@pytest.mark.parametrize(
    ("times", "stated"), [(2.0, True), (1.9, True), (1.0, False), (1.5, False)]
)
def test_losses_that_are_added_are_stated(times: float, stated: bool, tmp_path: Path) -> None:
    """One update of one batch against two micro-batches. The controls: no whole number of times."""
    one, two = of_commands("one", "two")
    one = divided(one)
    for row in one.rows["micro_batches"]:  # the losses of the other's two, added
        row["loss"] = row["loss"] / times * 1.001
    found = compare_drafts(tmp_path, one, two)
    assert found.first_divergence is not None
    assert "loss" == found.first_divergence.stage
    texts = [fact.text for fact in found.facts if fact.id == "added_losses"]
    assert stated == bool(texts)
    if stated:
        assert texts[0].startswith("the loss of an update of candidate, ")
        assert texts[0].endswith(
            "of reference, as if the losses of the micro-batches were added and not averaged"
        )


def test_a_rate_that_was_set_later_has_no_line_of_the_optimizer(tmp_path: Path) -> None:
    """A loop that writes into the groups of its optimizer. The control has the line."""
    found = of(tmp_path / "made", "learning-rate")
    assert found.facts[0].candidate_site

    candidate = sound(*OTHER_LINES)
    SPOILS["learning-rate"][0](candidate)
    candidate.header["settings"]["optimizer.rate_set_later"] = True
    later = compare_drafts(tmp_path / "later", sound(), candidate).facts[0]
    assert ("learning_rate", "", True) == (later.id, later.candidate_site, later.explains_first)
    assert later.reference_site
    assert " at step 1, 0.6 times at each step" in later.text


@pytest.mark.parametrize(
    ("settings", "spoil"),
    [
        ({"optimizer.betas": [0.9, 0.95]}, "dropout"),
        ({"optimizer.weight_decay": 0.01}, "learning-rate"),
        ({"model.dropout": {"0.3": 3}}, "weight-decay"),
        ({"loader.num_workers": 2}, "clip"),
        ({"optimizer.rule": "SGD"}, "label-smoothing"),
    ],
)
def test_a_setting_of_another_stage_also_differs_and_explains_nothing(
    settings: dict[str, object], spoil: str, tmp_path: Path
) -> None:
    """It is listed apart, below what explains."""
    candidate = sound(*OTHER_LINES)
    SPOILS[spoil][0](candidate)
    candidate.header["settings"] |= settings
    found = compare_drafts(tmp_path, sound(), candidate)
    explaining = [fact.id for fact in found.facts if fact.explains_first]
    others = [fact for fact in found.facts if not fact.explains_first]
    assert [SPOILS[spoil][1]] == explaining
    assert others
    for fact in others:
        assert any(line.startswith(f"Also differs: {fact.text}") for line in reasons(found))
        assert fact.text not in because(found)


@pytest.mark.parametrize("name", ["dropout", "betas", "weight-decay", "label-smoothing"])
def test_a_setting_does_not_explain_a_later_step(name: str, tmp_path: Path) -> None:
    """Its effect would have shown at the first step; then the cause is unknown, and it is said."""
    candidate = sound(*OTHER_LINES)
    SPOILS[name][0](candidate)
    settings = candidate.header["settings"]
    candidate = sound(*OTHER_LINES)
    candidate.header["settings"] = settings
    if name == "weight-decay":  # the decay of this tensor is the same in both
        alike = {"0.01": ["embedding.weight"], "0.1": ["classifier.weight", "classifier.bias"]}
        settings["optimizer.weight_decay"] = alike
    candidate.tensor(5, "classifier.bias")["weight"] ^= 1
    candidate.step(5)["weights"] ^= 1
    found = compare_drafts(tmp_path, sound(), candidate)
    assert (5, "weights") == (found.first_divergence.step, found.first_divergence.stage)  # type: ignore[union-attr]  # it differs
    assert [] == [fact.id for fact in found.facts if fact.explains_first]
    assert "cause unknown" == because(found)
    assert any(line.startswith("Also differs") for line in reasons(found))


def test_a_record_without_sites_is_read(tmp_path: Path) -> None:
    """As older records are: the sentence ends without lines."""
    reference, candidate = sound(), sound()
    for made in (reference, candidate):
        del made.header["sites"]
    SPOILS["learning-rate"][0](candidate)
    found = compare_drafts(tmp_path, reference, candidate)
    assert "Differs: learning rate 3e-05 against 5e-05." == reasons(found)[0]


def test_a_line_that_one_side_alone_has_is_named_with_its_run(tmp_path: Path) -> None:
    """The reference clips by a call, the candidate does not."""
    assert (
        "against clipped to a norm of 1 (reference: plain.py:14)."
        in reasons(of(tmp_path, "unclipped"))[0]
    )


@pytest.mark.parametrize("seed", range(40))
def test_values_are_those_of_the_records_and_never_swapped(seed: int, tmp_path: Path) -> None:
    """Whatever differs, both ways round: each fact has each record's own value."""
    draw = random.Random(seed)
    names = draw.sample(sorted(SPOILS), draw.randint(1, 4))
    candidate = sound(*OTHER_LINES)
    for name in names:
        if name != "resumed-without-state":  # its run is labelled in the text
            SPOILS[name][0](candidate)
    one, two = sound().write(tmp_path / "a"), candidate.write(tmp_path / "b")
    forth, back = compare(one, two, ("x", "y")), compare(two, one, ("x", "y"))
    mirrored = [_mirrored(fact) for fact in back.facts]
    assert [_values(fact) for fact in forth.facts] == [_values(fact) for fact in mirrored]
    for fact in forth.facts:
        _check(fact, one, two)


def _values(fact: Fact) -> tuple[object, ...]:
    return (
        fact.id,
        fact.reference,
        fact.candidate,
        fact.reference_site,
        fact.candidate_site,
        fact.explains_first,
    )


def _mirrored(fact: Fact) -> Fact:
    return fact.model_copy(
        update={
            "reference": fact.candidate,
            "candidate": fact.reference,
            "reference_site": fact.candidate_site,
            "candidate_site": fact.reference_site,
        }
    )


def _check(fact: Fact, one: RunRecord, two: RunRecord) -> None:
    """The values and the lines of a fact are those of the two records."""
    for value, place, record in (
        (fact.reference, fact.reference_site, one),
        (fact.candidate, fact.candidate_site, two),
    ):
        name = SETTINGS_OF.get(fact.id)
        if name in record.header.settings:
            assert record.header.settings[name] == value
        assert place in {"", *(site.place for site in record.header.sites.values())}


@pytest.mark.parametrize("seed", range(40))
def test_settings_of_wrong_types_do_not_fail(seed: int, tmp_path: Path) -> None:
    """A damaged record has values of any kind; facts are looked for all the same."""
    draw = random.Random(seed)
    kinds: list[object] = ["x", -1, 1e308, [], {}, [1, "2"], {"a": [1]}, True, {"steps": "x"}]
    candidate = sound(*OTHER_LINES)
    SPOILS[draw.choice(sorted(SPOILS))][0](candidate)
    settings = candidate.header["settings"]
    for name in draw.sample(sorted(settings), 6):
        settings[name] = draw.choice(kinds)
    records = sound().write(tmp_path / "a"), candidate.write(tmp_path / "b")
    stages = compare_stages(*records)
    firsts = [stage.first for stage in stages if stage.first and stage.stage != "config"]
    first = min(firsts, key=lambda divergence: divergence.place)
    differ = setting_differences(records[0].header, records[1].header)
    facts_of(evidence_of(*records, ("x", "y"), stages, first, differ), None)


def test_what_is_not_recorded_has_no_fact(tmp_path: Path) -> None:
    """Without settings nothing is said but what the values show."""

    def bare(made: Draft) -> Draft:
        made.header["settings"] = {}
        return made

    candidate = bare(evident())
    SPOILS["learning-rate"][0](candidate)
    candidate.header["settings"] = {}
    found = compare_drafts(tmp_path, bare(evident()), candidate)
    expected = "learning rate 3e-05 against 5e-05 at step 1, 0.6 times at each step"
    assert [expected] == [fact.text for fact in found.facts]


@pytest.mark.parametrize(("reduction", "told"), [("none", False), ("sum", True)])
def test_a_loss_that_is_reduced_later_is_not_told_by_its_reduction(
    reduction: str, told: bool, tmp_path: Path
) -> None:
    """What a script makes of the losses of single rows is not known."""
    candidate = sound()
    candidate.header["settings"]["loss.reduction"] = reduction
    candidate.micro_batch(1)["loss"] *= 2
    found = compare_drafts(tmp_path, sound(), candidate)
    assert told == ("reduction" in [fact.id for fact in found.facts])


@pytest.mark.parametrize("modes", [(True, False), (True, True)])
def test_the_mode_of_the_model_is_stated(modes: tuple[bool, bool], tmp_path: Path) -> None:
    """At the micro-batch of the first divergence. The control: both are in training mode."""
    one, two = of_commands("one", "two")
    for made, mode in zip((one, two), modes, strict=True):
        for row in made.rows["circumstances"]:
            if row["step"] >= 3:
                row["training"] = mode
    for row in two.rows["micro_batches"]:
        if row["step"] >= 3:
            row["loss"] += 0.01
            if row["micro_batch"] > 1:
                row["rng"] ^= 1
    found = compare_drafts(tmp_path, one, two)
    first = found.first_divergence
    assert first is not None
    assert (3, 1, "loss") == (first.step, first.micro_batch, first.stage)
    stated = [fact.text for fact in found.facts if fact.explains_first]
    expected = "the model is in evaluation mode against training mode at step 3"
    assert (modes[0] != modes[1]) == (expected in stated)


@pytest.mark.parametrize("same_values", [True, False])
def test_a_schedule_that_is_stepped_less_often_has_no_line(
    same_values: bool, tmp_path: Path
) -> None:
    """The line that made it does not differ. The control: another course has its line."""
    one, two = sound(), sound(*OTHER_LINES)
    for number, row in enumerate(one.rows["steps"]):
        row["learning_rate"] = [6e-5 - 1e-5 * number]
    for number, row in enumerate(two.rows["steps"]):
        row["learning_rate"] = [6e-5 - (1e-5 if same_values else 9e-6) * (number // 2)]
    found = compare_drafts(tmp_path, one, two)
    (fact,) = [fact for fact in found.facts if fact.id == "schedule"]
    assert same_values == fact.text.endswith(
        "; both take the same values in the same order, for other numbers of updates"
    )
    assert same_values != bool(fact.candidate_site)


@pytest.mark.parametrize(("rule", "stated"), [("Adam", True), ("MyAdam", False)])
def test_how_an_unknown_optimizer_decays_is_not_stated(
    rule: str, stated: bool, tmp_path: Path
) -> None:
    """An optimizer of torch is known by its class."""
    candidate = sound(*OTHER_LINES)
    SPOILS["coupled-decay"][0](candidate)
    candidate.header["settings"]["optimizer.rule"] = rule
    found = compare_drafts(tmp_path, sound(), candidate)
    assert stated == ("decay_coupling" in [fact.id for fact in found.facts])
