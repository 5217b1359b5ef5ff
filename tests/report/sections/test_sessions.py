"""The sessions of a bench as a table: what was left out, and what was lost."""

from harness.report.sections.sessions import rounds_left_out, sessions_table
from harness.results.sessions import Session
from tests.support.bench_sessions import block


def session(ratios: list[float], delay_s: float | None = 0.1) -> Session:
    """One round a ratio, of the trainer against plain."""
    blocks = [
        block(arm, number, wall_s=0.4 * times + (delay_s or 0.0), delay_s=delay_s)
        for number, ratio in enumerate(ratios, start=1)
        for arm, times in (("plain", 1.0), ("trainer", ratio), ("control", 1.0))
    ]
    return Session(1, "a plan", tuple(blocks), {}, took_s=20.0)


ARMS = ("plain", "trainer", "control")


def test_the_rounds_left_out_are_those_of_a_trimmed_mean() -> None:
    """A fifth of ten rounds at each end, by hand: rounds 1 and 3 above, 2 and 5 below."""
    ratios = [1.9, 0.5, 1.8, 1.01, 0.6, 1.02, 1.03, 1.04, 1.05, 1.06]
    assert [1, 2, 3, 5] == rounds_left_out(session(ratios), "plain", "trainer", "own_step_s")
    assert [] == rounds_left_out(session(ratios[:4]), "plain", "trainer", "own_step_s")


def test_a_session_states_what_others_took() -> None:
    """Of blocks of 0.4 s each lost 0.1 s more: 0.1 / 0.5, by hand."""
    (row,) = sessions_table("tiny", [session([1.0] * 5)], ARMS, "own_step_s").rows
    assert "20.0%" == row[3]
    assert "trainer 1, 5; control 1, 5" == row[5]

    (silent,) = sessions_table("tiny", [session([1.0] * 5, delay_s=None)], ARMS, "step_s").rows
    assert "not recorded" == silent[3]
