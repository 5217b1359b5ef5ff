"""The comment on a pull request that compares two commits."""

from __future__ import annotations

from harness.report.formats.comment import comment
from harness.results.upgrade import PackageChange, UpgradeResult
from tests.support.small_report import AWKWARD, small_report


def test_a_comment_on_two_commits_has_a_row_for_each_change() -> None:
    """And for what is not known, which is never counted among what did not change."""
    found = UpgradeResult(
        sides=("main (01234567)", "working tree (89abcdef)"),
        packages=(PackageChange(name="torch", versions=("2.12", "2.13")),),
        packages_same=3,
        changed=("values different", AWKWARD),
        unchanged=("steps 6",),
        unknown=("speed unknown",),
    )
    text = comment([report := small_report(upgrade=found)], report)

    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert "| | From main (01234567) to working tree (89abcdef) |" == rows[0]
    assert "| ❌ | values different |" == rows[1]
    assert rows[2].startswith("| ❌ | a\\|b &lt;script>")
    assert [
        "| ❔ | not compared: speed unknown |",
        "| ✅ | 1 compared property did not change |",
    ] == (rows[3:])
    assert "- torch: 2.13 against 2.12" in text
    assert "- did not change: steps 6" in text
