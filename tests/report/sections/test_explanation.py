"""An explanation as a table."""

from harness.report.sections.explanation import explanation_table
from harness.results.explanation import Gap
from tests.support.small_report import EXPLAINED


def test_a_row_has_a_cell_for_each_heading() -> None:
    """The whole difference first; then field by field, alone and what is left, until nothing is."""
    found = explanation_table(EXPLAINED)
    table = found.rows
    assert {len(found.columns)} == {len(row) for row in table}
    assert ("all fields", "trainer", "plain", "step 1, data_order", "0.042", "0.83") == table[0][:6]
    assert ("sampler", "seeded", "global", "step 1, data_order", "0.057", "0.91") == table[1][:6]
    assert ("step 1, weights", "0.00063", "0.074") == table[1][6:]
    assert ("identical", "0", "0") == table[2][6:]
    one = EXPLAINED.contributions[0].model_copy(update={"alone": Gap()})
    bare = EXPLAINED.model_copy(update={"gap": None, "contributions": (one,)})
    assert ("", "", "") == explanation_table(bare).rows[0][3:6]
