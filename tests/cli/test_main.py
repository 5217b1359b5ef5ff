"""The commands: what is printed where, and with which exit code."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import listing
from harness.execution import devices
from harness.report.text.verdict import HEADLINES
from harness.results.record import RunRecord
from harness.results.report import Verdict
from tests.support.answers import Ask, differ, pair
from tests.support.records import Draft, Spoil, draft, write_run_folder


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started to find devices."""
    monkeypatch.setattr(listing, "asking_for_devices", lambda: lambda: {"cpu": 1, "cuda": 2})


@pytest.mark.usefixtures("two_gpus")
def test_list_names_what_there_is(ask: Ask) -> None:
    """For people: cases, loops, devices, fields, with no word on stderr; -v describes them."""
    words = ("paraphrase", "mrpc", "plain", "accelerated", "trainer", "learning_rate", "cpu")
    for options, described in (([], False), (["-v"], True)):
        found = ask("list", *options)
        assert (0, "") == (found.code, found.err)
        assert all(word in found.out for word in words)
        assert "nosuchthing" not in found.out
        assert described == ("In TrainingArguments" in " ".join(found.out.split()))


@pytest.mark.usefixtures("two_gpus")
def test_list_has_a_line_for_each_name(ask: Ask) -> None:
    """In 80 columns, on one screen: cases, loops and suites begin a line of their own."""
    lines = ask("list").out.splitlines()
    assert lines[-1].endswith("Here: cpu, cuda (2).")
    assert len(lines) < 40
    assert max(map(len, lines)) <= 80
    for name in ("paraphrase", "plain", "matrix"):
        assert 1 == sum(line.startswith(f"  {name} ") for line in lines)


def test_list_for_programs_is_json(ask: Ask) -> None:
    """The same for programs, whatever the width of the paper."""
    content: dict[str, Any] = json.loads(ask("list", "--json").out)

    assert {"cases", "loops", "workloads", "devices", "recipe"} <= content.keys()
    assert 1 == content["devices_here"]["cpu"]
    assert "paraphrase" == content["cases"]["paraphrase"]["workload"]
    assert "global" == content["loops"]["plain"]["native"]["sampler"]
    assert {"loss_average": "model"} == content["loops"]["trainer"]["native"]
    assert 8 == content["recipe"]["per_device_batch_size"]["default"]


def test_list_without_torch_says_what_it_does_not_know(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that asks torch fails."""
    monkeypatch.setattr(devices, "_COMMAND", ["-c", "import nothing_of_this_name"])
    found = ask("list")
    assert (0, "") == (found.code, found.err)
    assert "Which are here is not known" in " ".join(found.out.split())


@pytest.mark.parametrize(
    ("code", "verdict", "spoil"),
    [
        (0, "equivalent", lambda made: None),
        (1, "different", differ),
        (3, "failed", lambda made: made.header.update(status="failed", error="boom")),
        (4, "no_verdict", lambda made: made.header.update(steps_expected=7)),
    ],
)
def test_compare_answers_with_its_exit_code(
    ask: Ask, tmp_path: Path, code: int, verdict: Verdict, spoil: Spoil
) -> None:
    """0 the same, 1 different, 3 a run failed, 4 no verdict; the files say the same."""
    out = tmp_path / "out"
    found = ask("compare", *pair(tmp_path, spoil), "--out", out)

    assert (code, "") == (found.code, found.err)
    assert HEADLINES[verdict] in found.out.splitlines()[0]
    content = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert verdict == content["verdict"]
    assert ["harness", "compare"] == content["command"][:2]
    files = {"report.json", "report.md", "report.html", "report.csv", "junit.xml", "plots"}
    assert files == {path.name for path in out.iterdir()}
    assert 3 == len(list((out / "plots").iterdir()))
    assert RunRecord(out / content["runs"][1]["record"]).run_spec.loop == "trainer"


def test_a_difference_is_told_by_step_stage_and_values(ask: Ask, tmp_path: Path) -> None:
    """The first divergence stands in the report where the contract puts it."""
    ask("compare", *pair(tmp_path, differ), "--out", "out")
    first = json.loads(Path("out/report.json").read_text("utf-8"))["comparisons"][0][
        "first_divergence"
    ]

    assert (3, "weights", None) == (first["step"], first["stage"], first["tensor"])
    assert first["reference"] != first["candidate"]


def test_a_pair_that_cannot_be_localized_is_reported_without_a_replay(
    ask: Ask, tmp_path: Path
) -> None:
    """An identical pair, and one that was recorded with other versions."""
    same = ask("compare", *pair(tmp_path / "same"), "--localize").out
    assert "not localized: the two are identical" in " ".join(same.split())
    other = ask("compare", *pair(tmp_path / "other", shorten), "--localize").out
    assert "cannot be replayed: it was recorded with python" in " ".join(other.split())


def test_the_former_name_of_localize_works(ask: Ask, tmp_path: Path) -> None:
    """`--dig` does what `--localize` does; without either, for control, nothing is localized."""
    spoilt = pair(tmp_path, shorten)
    assert "cannot be replayed" in " ".join(ask("compare", *spoilt, "--dig").out.split())
    assert "replayed" not in ask("compare", *spoilt).out


def shorten(made: Draft) -> None:
    """Four steps, of which nothing differs."""
    made.cut(4)


def test_without_out_results_go_to_a_new_folder_of_reports(ask: Ask, tmp_path: Path) -> None:
    """Two commands in the same second get two folders."""
    sides = pair(tmp_path)
    assert [0, 0] == [ask("compare", *sides).code for _ in range(2)]

    assert 2 == len(list(Path("reports").glob("*-compare*/report.json")))


def test_compare_takes_output_folders_run_by_run(ask: Ask, tmp_path: Path) -> None:
    """Each run is compared with the one of its name; one that is missing is no verdict."""
    both = {"plain": draft(), "trainer": draft("trainer")}
    write_run_folder(tmp_path / "old", both)
    write_run_folder(tmp_path / "new", both)
    write_run_folder(tmp_path / "less", {"plain": draft()})
    write_run_folder(tmp_path / "none", {})

    assert 0 == ask("compare", tmp_path / "old", tmp_path / "new").code
    found = ask("compare", tmp_path / "old", tmp_path / "less")
    assert 4 == found.code
    assert "less: trainer is missing; run it" in " ".join(found.out.split())
    assert 4 == ask("compare", tmp_path / "none", tmp_path / "none").code


def test_explain_says_it_in_a_sentence(ask: Ask, tmp_path: Path) -> None:
    """Two loops with one recipe: no field explains it, with the place; the same ones: nothing to
    explain. No run is needed for either."""
    found = ask("explain", *pair(tmp_path, differ), "--out", "out")
    assert (1, "") == (found.code, found.err)
    assert "no recipe field explains the difference" in " ".join(found.out.split())
    assert "step 3 in weights" in " ".join(found.out.split())
    content = json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    assert ["code"] == [one["outcome"] for one in content["explanations"]]
    assert found.out == ask("report", "out").out

    found = ask("explain", *pair(tmp_path))
    assert (0, "") == (found.code, found.err)
    assert "nothing to explain" in " ".join(found.out.split())


def test_report_prints_again_and_writes_anew(ask: Ask, tmp_path: Path) -> None:
    """It has the verdict and exit code of the first time, and writes the formats asked for."""
    ask("compare", *pair(tmp_path, differ), "--out", "out")
    before = Path("out/report.md").read_text(encoding="utf-8")
    for name in ("report.md", "report.html"):
        Path("out", name).unlink()
    found = ask("report", "out", "--format", "md")

    assert 1 == found.code
    assert "The loops differ" in found.out
    assert before == Path("out/report.md").read_text(encoding="utf-8")
    assert not Path("out/report.html").exists()


@pytest.mark.parametrize(("level", "message"), [("op", "record"), ("module", "argument")])
def test_op_after_localize_is_no_argument(level: str, message: str, ask: Ask) -> None:
    """Any other word is one, and `compare` takes no more."""
    found = ask("compare", "missing", "missing", "--localize", level)
    assert 2 == found.code
    assert message in found.err


def test_a_report_is_printed_as_much_as_is_asked_for(ask: Ask, tmp_path: Path) -> None:
    """Quiet: the conclusions; verbose: every section; JSON: the file itself, and nothing else."""
    sides = pair(tmp_path, differ)
    normal, quiet, verbose, as_json = (
        ask("compare", *sides, "--out", f"out {number}", *options)
        for number, options in enumerate(([], ["-q"], ["-v"], ["--json"]))
    )
    assert [1] * 4 == [found.code for found in (normal, quiet, verbose, as_json)]
    assert 3 == len(quiet.out.splitlines())
    assert normal.out.endswith(f"harness compare {sides[0]} {sides[1]} --localize\n")
    assert "To reproduce" in verbose.out
    assert "To reproduce" not in normal.out
    assert as_json.out == Path("out 3/report.json").read_text(encoding="utf-8")
    assert "different" == json.loads(as_json.out)["verdict"]
