"""From blocks to intervals and verdicts, by hand, with a control for each claim."""

import math
import random
import statistics
from dataclasses import replace

import pytest
from scipy import stats

from harness.benchmark.conclusions import conclude, narrow_enough, statistic_of
from harness.benchmark.intervals import Sample, session_means
from harness.benchmark.verdicts import ALPHA, control_of, decide_outcomes
from harness.results.sessions import Session
from harness.stats import trimmed_mean
from tests.support.bench_sessions import block, sessions

SPREAD = (-0.006, 0.004, -0.002, 0.005, -0.001, 0.000)  # of six sessions; their mean is 0


def around(ratio: float) -> list[float]:
    """Ratios of six sessions with that one in the middle."""
    return [ratio * math.exp(shift) for shift in SPREAD]


def sample(ratio: float) -> Sample:
    return Sample(tuple(math.log(each) for each in around(ratio)))


def test_the_trimmed_mean_leaves_out_a_fifth_at_each_end() -> None:
    """Of five values the outer two are left out; of four none is."""
    assert 3.0 == trimmed_mean([2.0, 100.0, 3.0, -50.0, 4.0])
    assert 2.5 == trimmed_mean([1.0, 2.0, 3.0, 4.0])


def test_a_session_is_one_number_however_many_rounds_it_has() -> None:
    """The log ratio is taken within each round, and one wild round is left out."""
    blocks = [block("plain", turn, wall_s=0.4 * turn) for turn in range(1, 6)]
    blocks += [block("other", turn, wall_s=0.44 * turn) for turn in range(1, 5)]
    blocks.append(block("other", 5, wall_s=40.0))
    found = Session(1, "a plan", tuple(blocks), {"plain": 1.0, "other": 1.0}, 10.0)

    (mean,) = session_means([found], "plain", "other", lambda one: one.wall_s)

    assert mean == pytest.approx(math.log(1.1))


def test_the_interval_is_the_t_interval_of_the_sessions() -> None:
    """By hand: mean 0, standard deviation s over six sessions, t(5, 0.975) = 2.5706."""
    one = Sample(SPREAD)
    half = 2.5706 * statistics.stdev(SPREAD) / math.sqrt(6)

    low, high = one.interval(0.025)

    assert low == pytest.approx(math.exp(-half), rel=1e-5)
    assert high == pytest.approx(math.exp(half), rel=1e-5)
    assert one.p_above(0.001) == pytest.approx(
        stats.ttest_1samp(SPREAD, 0.001, alternative="greater").pvalue
    )


@pytest.mark.parametrize(
    ("ratio", "outcome"),
    [
        (1.05, "slower"),
        (0.95, "faster"),
        (1.00, "equivalent"),
        (1.01, "equivalent"),
        (1.02, "inconclusive"),
        (1.022, "inconclusive"),
    ],
)
def test_a_claim_is_made_where_the_interval_lies_wholly_in_its_region(
    ratio: float, outcome: str
) -> None:
    """With a margin of 2% and an interval of about 0.45% on each side."""
    found = decide_outcomes({"other": sample(ratio)}, 0.02)["other"]

    assert outcome == found.outcome
    assert found.interval[0] < ratio < found.interval[1]
    assert (found.sessions_needed is None) == (outcome != "inconclusive" or ratio == 1.02)


def test_several_claims_share_one_probability_of_error() -> None:
    """Holm: the surest of three pairs is tested at a third of the level, the last one at all."""
    found = decide_outcomes({"a": sample(1.028), "b": sample(1.10), "c": sample(1.05)}, 0.02)

    assert {"b": ALPHA / 3, "c": ALPHA / 2, "a": ALPHA} == pytest.approx(
        {name: speed.level for name, speed in found.items()}
    )
    assert ["slower"] * 3 == [speed.outcome for speed in found.values()]


def test_a_claim_that_is_not_sure_enough_stops_those_after_it() -> None:
    """A pair that alone would be claimed is not, with two pairs of unknown outcome."""
    nearly = sample(1.0246)
    unknown = Sample((0.5, -0.5, 0.3, -0.3, 0.1, -0.1))

    assert "slower" == decide_outcomes({"a": nearly}, 0.02)["a"].outcome
    assert (
        "inconclusive"
        == decide_outcomes({"a": nearly, "b": unknown, "c": unknown}, 0.02)["a"].outcome
    )


def test_two_sessions_claim_nothing() -> None:
    """Two sessions that happen to agree are no evidence of their spread."""
    assert "inconclusive" == decide_outcomes({"a": Sample((0.2, 0.2000001))}, 0.02)["a"].outcome


def test_the_smallest_visible_effect_is_called_four_times_in_five() -> None:
    """Drawn again and again at that ratio, with the spread that was found; checked by counting."""
    spread = statistics.stdev(SPREAD)
    visible = math.log(decide_outcomes({"a": Sample(SPREAD)}, 0.02)["a"].smallest_visible)
    draw = random.Random(3)
    called = 0
    for _ in range(2000):
        means = [draw.gauss(visible, spread) for _ in SPREAD]
        called += decide_outcomes({"a": Sample(tuple(means))}, 0.02)["a"].outcome == "slower"

    assert 0.74 < called / 2000 < 0.86


def test_identical_code_is_never_called_by_more_than_its_level() -> None:
    """Drawn again and again without a difference, almost no pair is called faster or slower."""
    draw = random.Random(5)
    called = 0
    for _ in range(2000):
        means = tuple(draw.gauss(0.0, 0.02) for _ in SPREAD)
        called += decide_outcomes({"a": Sample(means)}, 0.02)["a"].outcome in ("faster", "slower")

    assert called / 2000 < 0.01


def test_a_control_is_good_where_it_contains_1_narrowly() -> None:
    """Otherwise it reports a reason, and how large a difference must be."""
    good, few = control_of(Sample(SPREAD), 0.02), control_of(Sample((0.001, 0.002)), 0.02)
    assert ("", 0.02) == (good.doubt, good.least)
    assert "too few" in few.why_not

    wide = control_of(Sample((0.03, -0.03, 0.02, -0.02)), 0.02)
    assert wide.least == pytest.approx(math.exp(0.0468) - 1, abs=0.0002)
    assert "only to ±4.8%, which is wider than the margin of 2.0%" in wide.doubt

    for ratio in (1.015, 1 / 1.015):
        off = control_of(sample(ratio), 0.02)
        farthest = max(off.interval[1], 1 / off.interval[0])
        assert 1.015 < farthest < 1.021
        assert off.least == pytest.approx(1.02 * farthest - 1)
        assert "differs from itself" in off.doubt


@pytest.mark.parametrize("control", [Sample((0.03, -0.03, 0.02, -0.02)), sample(1.03)])
def test_a_poor_control_leaves_only_large_differences(control: Sample) -> None:
    """A difference that identical code may show is not claimed; a larger one is."""
    least = control_of(control, 0.02).least
    assert 0.04 < least < 0.06

    samples = {"large": sample(1.10), "small": sample(1.05), "same": sample(1.0)}
    samples["quick"] = sample(1 / 1.10)
    decided = decide_outcomes(samples, 0.02, least)
    narrow = decide_outcomes(samples, 0.02, 0.01)

    outcomes = ["slower", "inconclusive", "inconclusive", "faster"]
    assert outcomes == [speed.outcome for speed in decided.values()]
    assert ["slower", "slower", "equivalent", "faster"] == [s.outcome for s in narrow.values()]
    assert decided["large"].smallest_visible > narrow["large"].smallest_visible


def test_identical_code_is_not_called_where_each_arm_is_off_by_itself() -> None:
    """As by the place of its memory: arms, drawn again and again, that stay off by 0.7%."""
    draw = random.Random(11)
    called = 0
    for _ in range(2000):
        off = [draw.gauss(0.0, 0.007) for _ in range(3)]
        arms = [[each + draw.gauss(0.0, 0.005) for _ in range(8)] for each in off]
        plain, *others = arms
        control, other = (
            Sample(tuple(a - b for a, b in zip(arm, plain, strict=True))) for arm in others
        )
        outcome = decide_outcomes({"a": other}, 0.02, control_of(control, 0.02).least)["a"].outcome
        called += outcome in ("faster", "slower")

    assert called / 2000 < ALPHA


def test_conclusions_say_that_their_control_is_poor() -> None:
    """The large slowdown is called, with the caution beside it; the same loop is not equivalent."""
    found = sessions(
        {"control": [0.97, 1.03, 0.98, 1.02], "slow": around(1.10), "same": around(1.0)}
    )
    concluded = conclude("a case", found, "plain", ["slow", "same"], "own_step_s", 0.02, {})

    assert ["slower", "inconclusive"] == [c.outcome for c in concluded.comparisons]
    for comparison in concluded.comparisons:
        assert concluded.control.caution in comparison.doubts


@pytest.mark.parametrize("faster", [False, True])
def test_the_caution_states_the_rule_that_decides(faster: bool) -> None:
    """The whole interval counts: an estimate beyond the bound is not enough."""
    control = control_of(Sample(tuple(map(math.log, (0.97, 1.03, 0.98, 1.02)))), 0.02)
    bound = 1 / (1 + control.least) if faster else 1 + control.least
    word = "faster the whole interval below" if faster else "slower needs the whole interval above"
    assert f"{word} {bound - 1:+.1%}" in control.caution

    def outcome(estimate: float) -> tuple[str, bool]:
        (found,) = decide_outcomes({"one": sample(estimate)}, 0.02, control.least).values()
        low, high = found.interval
        return found.outcome, high < bound if faster else low > bound

    direction = -1 if faster else 1
    assert ("inconclusive", False) == outcome(bound * math.exp(direction * 0.002))
    assert ("faster" if faster else "slower", True) == outcome(bound * math.exp(direction * 0.02))


def test_a_planted_slowdown_is_called_and_identical_code_is_not() -> None:
    """From blocks to comparisons; without the control's consent neither is."""
    found = sessions({"control": around(1.0), "slow": around(1.05), "same": around(1.0)})
    names = ["slow", "same"]

    good = conclude("a case", found, "plain", names, "own_step_s", 0.02, {})
    bad = conclude(
        "a case",
        sessions({"control": around(1.03), "slow": around(1.05), "same": around(1.0)}),
        "plain",
        names,
        "own_step_s",
        0.02,
        {},
    )

    assert ["slower", "equivalent"] == [c.outcome for c in good.comparisons]
    assert good.comparisons[0].findings[0].ratio == pytest.approx(1.05)
    assert good.comparisons[0].findings[0].reference == pytest.approx(0.1)
    assert ["inconclusive"] * 2 == [c.outcome for c in bad.comparisons]
    assert {"inconclusive"} == {f.outcome for c in bad.comparisons for f in c.findings}


def test_nothing_is_concluded_where_wall_time_contradicts() -> None:
    """A loop that is slower by the wall clock alone is not called equivalent."""
    found = [
        Session(
            one.number,
            one.plan,
            tuple(
                block(b.arm, b.round, wall_s=0.5, delay_s=0.1) if b.arm == "late" else b
                for b in one.blocks
            ),
            one.first_step_s,
            one.took_s,
        )
        for one in sessions({"control": around(1.0), "late": around(1.0)})
    ]

    (late,) = conclude("a case", found, "plain", ["late"], "own_step_s", 0.02, {}).comparisons

    assert "inconclusive" == late.outcome
    assert "wall time is slower" in late.doubts[0]


def test_own_time_is_used_where_it_is_known() -> None:
    """On a GPU, or if the kernel does not report run delay, wall time is used."""
    known = sessions({"control": [1.0]})
    unknown = [Session(1, "", (block("plain", 1, delay_s=None),), {}, 1.0)]

    assert "own_step_s" == statistic_of(known, "cpu")
    assert "step_s" == statistic_of(known, "cuda")
    assert "step_s" == statistic_of(unknown, "cpu")


def test_a_bench_ends_by_width_alone() -> None:
    """A narrow interval ends a bench wherever it lies, and a wide one does not."""
    for ratio in (1.0, 1.02, 1.5):
        narrow = [ratio * math.exp(shift / 10) for shift in SPREAD]
        wide = [ratio * math.exp(shift * 5) for shift in SPREAD]
        assert narrow_enough(sessions({"other": narrow}), "plain", ["other"], "step_s", 0.02)
        assert not narrow_enough(sessions({"other": wide}), "plain", ["other"], "step_s", 0.02)


def test_with_other_batches_what_a_sample_costs_is_compared() -> None:
    """Twice the rows in 1.5 times the time is a quarter less a sample, and called faster."""
    found = [
        Session(
            one.number,
            one.plan,
            tuple(
                replace(b, samples=2 * b.samples, wall_s=1.5 * b.wall_s) if b.arm == "big" else b
                for b in one.blocks
            ),
            one.first_step_s,
            one.took_s,
        )
        for one in sessions({"control": around(1.0), "big": around(1.0), "same": around(1.0)})
    ]

    big, same = conclude(
        "a case", found, "plain", ["big", "same"], "own_step_s", 0.02, {}
    ).comparisons

    assert ("faster", "own_sample_s") == (big.outcome, big.findings[0].metric)
    assert big.findings[0].ratio == pytest.approx(0.75)
    assert big.findings[0].reference == pytest.approx(0.1 / 8)
    assert big.findings[0].candidate == pytest.approx(0.15 / 16, rel=0.01)
    assert ("equivalent", "own_step_s") == (same.outcome, same.findings[0].metric)
