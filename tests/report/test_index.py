"""The index of published runs: what each folder says of itself, and current."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import app, main
from harness.errors import RecordError, SpecError
from harness.report.index import BEGIN, END, has_index, index_of, write_index
from harness.report.publish import publish
from tests.support.records import draft, write_run_folder
from tests.support.run_folders import timed_report
from tests.support.small_report import small_report

REPORTS = Path(__file__).parents[2] / "reports"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A report, results of a program with words of their own, and one without."""
    folder = tmp_path / "published"
    (folder / "a-report").mkdir(parents=True)
    small_report().write_json(folder / "a-report")
    (folder / "b-study").mkdir()
    (folder / "b-study/README.md").write_text(
        "# A study\n\nIt shows [this](score.md)\nand | that.\n\nMade by `python -m study`.\n"
    )
    (folder / "c-bare").mkdir()
    (folder / "c-bare/result.json").write_text("{}")
    (tmp_path / "README.md").write_text(f"# Reports\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    return folder


def test_a_folder_tells_of_itself(published: Path) -> None:
    """A report by its verdict, first sentence and command; else the README; else the files."""
    rows = index_of(published.parent).splitlines()[2:]
    assert [
        "| [a-report](published/a-report/report.md) | The loops differ | "
        "`harness run tiny --set 'data=a b'` | accelerated against plain: identical, bit for bit, "
        "at all 6 steps; 1 more in the report |",
        r"| [b-study](published/b-study/README.md) |  | `python -m study` | It shows this and \| "
        "that. |",
        "| [c-bare](published/c-bare/) |  |  | result.json, without a README.md |",
    ] == rows


def test_only_the_index_is_written(published: Path) -> None:
    """What stands around it stays; a second time there is nothing to do."""
    readme = published.parent / "README.md"
    assert write_index(published.parent)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("# Reports\n\n")
    assert text.endswith(f"{END}\n\nThe end.\n")
    assert "old" not in text
    assert not write_index(published.parent)


def test_a_file_without_a_place_for_it_is_refused(published: Path) -> None:
    """Nothing of somebody's is overwritten."""
    readme = published.parent / "README.md"
    for text in ("mine", f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}"):
        readme.write_text(text)
        with pytest.raises(SpecError, match="between two marker lines"):
            write_index(published.parent)
        assert text == readme.read_text()
    assert not has_index(published)


def test_a_report_that_cannot_be_read_is_told(published: Path) -> None:
    """No row is made up for it."""
    (published / "a-report/report.json").write_text("{")
    with pytest.raises(RecordError, match="must be a complete report"):
        index_of(published.parent)


def test_the_command_writes_it(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And `harness publish` does, when it adds a run."""
    monkeypatch.chdir(published.parent)
    done = CliRunner().invoke(app, ["index", "."])
    assert (0, True) == (done.exit_code, "b-study" in Path("README.md").read_text())

    write_run_folder(Path("run"), {"plain": draft(), "trainer": draft("trainer")})
    Path("reports/published").mkdir(parents=True)
    Path("reports/README.md").write_text(f"{BEGIN}\n{END}\n")
    assert 0 == CliRunner().invoke(app, ["publish", "run", "new"]).exit_code
    assert "[new](published/new/report.md)" in Path("reports/README.md").read_text()


def test_sessions_are_published_with_a_bench(tmp_path: Path) -> None:
    """So that its rounds can be shown again."""
    timed_report(tmp_path / "run").write_json(tmp_path / "run")
    publish(tmp_path / "run", tmp_path / "published", records=True)
    assert 3 == len(list((tmp_path / "published/sessions").glob("*.parquet")))
    assert (tmp_path / "published/plots/bench-1-rounds.svg").is_file()


def test_a_page_shows_the_sessions_that_are_not_published(tmp_path: Path) -> None:
    """The plot of the rounds is on the page; the sessions and the plot's own file are not kept."""
    timed_report(tmp_path / "run").write_json(tmp_path / "run")
    publish(tmp_path / "run", tmp_path / "published")
    assert "<svg" in (tmp_path / "published/report.html").read_text(encoding="utf-8")
    assert 3 == len(list((tmp_path / "published").rglob("*")))


def test_output_folders_are_listed_where_nothing_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any folder: its README.md is made; folders without a report are not listed."""
    (tmp_path / "runs").mkdir()
    write_run_folder(tmp_path / "runs/first", {"plain": draft(), "trainer": draft("trainer")})
    (tmp_path / "runs/notes").mkdir()
    (tmp_path / "runs/notes/README.md").write_text("Mine.\n")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["index", "runs"])
    assert (0, "runs/README.md: written\n") == (done.exit_code, done.stdout)
    text = Path("runs/README.md").read_text(encoding="utf-8")
    assert "| [first](first/report.md) |" in text
    assert "notes" not in text
    assert "runs/README.md: unchanged\n" == CliRunner().invoke(app, ["index", "runs"]).stdout


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_without_reports_is_refused(
    made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the remedy, exit code 2, and no file is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["harness", "index"])
    if made:
        Path("reports").mkdir()
    assert 2 == main()
    lines = capsys.readouterr().err.splitlines()
    assert 1 == len(lines)
    assert "run a command first" in lines[0]
    assert not Path("reports/README.md").exists()


def test_the_index_of_this_repository_is_current(tmp_path: Path) -> None:
    """`harness index` would change nothing; a row taken out, for control, comes back."""
    copy = tmp_path / "README.md"
    text = (REPORTS / "README.md").read_text(encoding="utf-8")
    copy.write_text(text, encoding="utf-8")
    (tmp_path / "published").symlink_to(REPORTS / "published")
    assert not write_index(tmp_path), "run `harness index`"

    copy.write_text(text.replace("| [matrix]", "| [matrx]"), encoding="utf-8")
    assert write_index(tmp_path)
