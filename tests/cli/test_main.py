"""The doors: what is printed where, exit codes, and one line for wrong use with nothing left."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.cli import main as cli
from harness.results.record import RunRecord
from tests.support.records import Draft, Spoil, draft, spec, write_run_folder


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Ask = Callable[..., Answer]
NODE_1 = (
    *("--nnodes", "2", "--node-rank", "1", "--master-addr", "localhost"),
    *("--out", "shared"),
)


@pytest.fixture
def ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Ask]:
    """Runs the command line with these arguments in an empty folder, on wide paper."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("COLUMNS", "200")
    before = signal.getsignal(signal.SIGTERM)

    def answer(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        capsys.readouterr()
        code = cli.main()
        return Answer(code, *capsys.readouterr())

    yield answer
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def refused(ask: Ask) -> Ask:
    """As `ask`, for wrong use: code 2, one line on stderr, no output, no file."""

    def answer(*arguments: object) -> Answer:
        found = ask(*arguments)
        assert 2 == found.code
        assert "" == found.out
        assert 1 == len(found.err.splitlines()), found.err
        assert found.err.startswith("harness: ")
        assert [] == list(Path().iterdir())
        return found

    return answer


def pair(folder: Path, spoil: Spoil = lambda made: None) -> tuple[Path, Path]:
    """Two records, the second spoiled."""
    candidate = draft("trainer")
    spoil(candidate)
    return draft().write(folder / "one").folder, candidate.write(folder / "two").folder


def differ(made: Draft) -> None:
    made.step(3)["weights"] ^= 1


def test_list_names_what_there_is(ask: Ask) -> None:
    """For people: cases, loops, devices and fields, with no word on stderr."""
    found = ask("list")

    assert (0, "") == (found.code, found.err)
    for word in ("paraphrase", "mrpc", "plain", "accelerated", "trainer", "learning_rate", "cpu"):
        assert word in found.out
    assert "nosuchthing" not in found.out


def test_list_for_programs_is_json(ask: Ask) -> None:
    """The same for programs, whatever the width of the paper."""
    content: dict[str, Any] = json.loads(ask("list", "--json").out)

    assert {"cases", "loops", "workloads", "devices", "recipe"} <= content.keys()
    assert "paraphrase" == content["cases"]["paraphrase"]["workload"]
    assert "global" == content["loops"]["plain"]["native"]["sampler"]
    assert {"loss_average": "model"} == content["loops"]["trainer"]["native"]
    assert 8 == content["recipe"]["per_device_batch_size"]["default"]


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
    ask: Ask, tmp_path: Path, code: int, verdict: str, spoil: Spoil
) -> None:
    """0 the same, 1 different, 3 a run failed, 4 no verdict; the files say the same."""
    out = tmp_path / "out"
    found = ask("compare", *pair(tmp_path, spoil), "--out", out)

    assert (code, "") == (found.code, found.err)
    assert f"({verdict})" in found.out
    content = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert verdict == content["verdict"]
    assert ["harness", "compare"] == content["command"][:2]
    files = {"report.json", "report.md", "report.html", "report.csv", "junit.xml", "plots"}
    assert files == {path.name for path in out.iterdir()}
    assert 3 == len(list((out / "plots").iterdir()))
    assert RunRecord(out / content["runs"][1]["record"]).spec.loop == "trainer"


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
    """An identical pair, and one that parts where no module is."""
    same = ask("compare", *pair(tmp_path / "same"), "--localize").out
    assert "not localized: the two are identical" in " ".join(same.split())
    other = ask("compare", *pair(tmp_path / "other", reorder), "--localize").out
    assert "not localized: at step 2 the two use different rows" in " ".join(other.split())


def test_the_former_name_of_localize_works(ask: Ask, tmp_path: Path) -> None:
    """`--dig` does what `--localize` does; without either, for control, nothing is localized."""
    spoilt = pair(tmp_path, reorder)
    assert "not localized: at step 2" in ask("compare", *spoilt, "--dig").out
    assert "not localized" not in ask("compare", *spoilt).out


def reorder(made: Draft) -> None:
    """Other rows in one micro-batch."""
    made.micro_batch(2)["sample_ids"] = [1, 0]


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
    assert "less: trainer is missing; run it" in found.out
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
    assert "nothing to explain" in found.out


def test_report_prints_again_and_writes_anew(ask: Ask, tmp_path: Path) -> None:
    """It has the verdict and exit code of the first time, and writes the formats asked for."""
    ask("compare", *pair(tmp_path, differ), "--out", "out")
    before = Path("out/report.md").read_text(encoding="utf-8")
    for name in ("report.md", "report.html"):
        Path("out", name).unlink()
    found = ask("report", "out", "--format", "md")

    assert 1 == found.code
    assert "(different)" in found.out
    assert before == Path("out/report.md").read_text(encoding="utf-8")
    assert not Path("out/report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "paraphrse"], "unknown case (met 'paraphrse'): did you mean 'paraphrase'?"),
        (["run", "--loops", "plain,trainr"], "did you mean 'trainer'?"),
        (["run", "--loops", "nowhere.py"], "nowhere.py"),
        (["run", "--loops", ","], "a run needs a loop"),
        (["run", "--set", "learning_rat=1"], "did you mean 'learning_rate'?"),
        (["run", "--set", "learning_rate"], "--set takes KEY=VALUE"),
        (["run", "--set", "learning_rate=-1"], "learning_rate: "),
        (["run", "--set", "num_epochs=lots"], "num_epochs: "),
        (["run", "--device", "cdua"], "did you mean 'cuda'?"),
        (["run", "--conventions", "nativ"], "did you mean 'native'?"),
        (["run", "--jobs", "0"], "jobs"),
        (["run", "--launcher", "torchrn"], "did you mean 'torchrun'?"),
        (["run", "--launcher-config", "x.yaml"], "add --launcher accelerate"),
        (
            ["run", "--node-rank", "1"],
            "(met --node-rank 1 of 1): lower",
        ),
        (["run", "--nnodes", "2"], "add --node-rank 0, 1, ... on each node"),
        (["run", "--nnodes", "2", "--node-rank", "2"], "met --node-rank 2 of 2"),
        (["run", "--nnodes", "2", "--node-rank", "0"], "add --master-addr HOST on each node"),
        (["run", *NODE_1[:-2]], "add --out FOLDER on each node"),
        (["run", *NODE_1, "--jobs", "2"], "one run at a time (met --jobs 2)"),
        (["run", *NODE_1, "--launcher", "notebook"], "works on one node (met --nnodes 2)"),
        (["run", *NODE_1, "--resume-at", "2"], "--resume-at works on one node (met --nnodes 2)"),
        (["run", *NODE_1, "--master-addr", "no such host"], "a host that can be looked up"),
        (["run", *NODE_1, "--master-port", "0"], "master-port"),
        (
            ["run", "--launcher", "accelerate", "--launcher-config", "x.yaml"],
            "--launcher-config takes a file (met x.yaml)",
        ),
        (["run", "--resume"], "--resume continues in an output folder"),
        (["run", "--resume-at", "3", "--set", "save_every=4"], "lower save_every"),
        (["run", "--devices", "cpu"], "two different devices"),
        (["run", "--devices", "cpu,cpu"], "two different devices"),
        (["run", "--devices", "cpu,cdua"], "did you mean 'cuda'?"),
        (["run", "--devices", "cpu,cuda", "--device", "cpu"], "(met --device cpu): omit --device"),
        (["run", "--digests", "hots"], "did you mean 'host'?"),
        (["run", "--seeds", "1"], "--seeds takes 2 or more"),
        (["run", "--margin", "accuracy=0.1"], "--margin applies to several seeds"),
        (["run", "--seeds", "2", "--margin", "accuracy"], "--margin takes METRIC=VALUE"),
        (["run", "--seeds", "2", "--margin", "acuracy=0.1"], "did you mean 'accuracy'?"),
        (["run", "--seeds", "2", "--margin", "accuracy=-1"], "a margin is a positive number"),
        (["run", "--seeds", "2", "--localize"], "--localize replays pairs of single runs"),
        (
            ["run", "--devices", "cpu,cuda", "--localize"],
            "omit --devices",
        ),
        (["run", "paraphrase", "paraphrase"], "each case of a run has its own name"),
        (["run", "nowhere.toml"], "nowhere.toml"),
        (["run", "--no-such-option"], "no-such-option"),
        (["compare", "nowhere", "nowhere"], "must exist (met nowhere)"),
        (["compare", "one"], "CANDIDATE"),
        (["explain", "paraphrse"], "did you mean 'paraphrase'?"),
        (["explain"], "CASE"),
        (["explain", "a", "b", "c"], "a case, or two folders"),
        (["explain", "nowhere", "nowhere"], "must exist (met nowhere)"),
        (["explain", "nowhere", "nowhere", "--loops", "plain"], "--loops applies to a case"),
        (["explain", "paraphrase", "--loops", "plain"], "explain needs two different loops"),
        (["explain", "paraphrase", "--loops", "plain,plain"], "explain needs two different loops"),
        (["explain", "paraphrase", "--conventions", "nativ"], "did you mean 'native'?"),
        (["explain", "paraphrase", "--device", "cdua"], "did you mean 'cuda'?"),
        (["explain", "paraphrase", "--set", "learning_rat=1"], "did you mean 'learning_rate'?"),
        (["explain", "paraphrase", "--budget", "0"], "budget"),
        (["report", "nowhere"], "report.json (met nowhere)"),
        (["lst"], "lst"),
    ],
)
def test_wrong_use_gets_one_line_and_leaves_nothing(
    refused: Ask, arguments: list[str], said: str
) -> None:
    """The line has the value met and the nearest known name or the rule."""
    assert said.lower() in refused(*arguments).err.lower()


def test_a_folder_that_is_neither_record_nor_run_is_refused(refused: Ask, tmp_path: Path) -> None:
    """An existing folder without either header is named."""
    (tmp_path / "empty").mkdir()
    one, _ = pair(tmp_path)

    assert str(tmp_path / "empty") in refused("compare", one, tmp_path / "empty").err
    assert str(tmp_path / "empty") in refused("report", tmp_path / "empty").err


def test_an_output_folder_that_lost_a_record_is_refused(refused: Ask, tmp_path: Path) -> None:
    """A record that the report lists must be there."""
    write_run_folder(tmp_path / "old", {"plain": draft()})
    (tmp_path / "old/records/plain/record.json").unlink()

    assert "records/plain" in refused("compare", tmp_path / "old", tmp_path / "old").err


def test_a_used_output_folder_is_refused_and_untouched(refused: Ask, tmp_path: Path) -> None:
    """Nothing of somebody's is overwritten; an empty folder, for control, is taken."""
    used, empty = tmp_path / "used", tmp_path / "empty"
    used.mkdir()
    empty.mkdir()
    (used / "mine.txt").write_text("precious", encoding="utf-8")
    sides = pair(tmp_path)

    assert "new or empty folder" in refused("compare", *sides, "--out", used).err
    assert "new or empty folder" in refused("run", "--out", used).err
    assert ["mine.txt"] == [path.name for path in used.iterdir()]
    assert "precious" == (used / "mine.txt").read_text(encoding="utf-8")


def test_an_empty_output_folder_is_taken(ask: Ask, tmp_path: Path) -> None:
    """Control: a folder that exists and is empty is used."""
    Path("empty").mkdir()

    assert 0 == ask("compare", *pair(tmp_path), "--out", "empty").code


def test_an_output_folder_below_a_file_is_refused(refused: Ask, tmp_path: Path) -> None:
    """A folder that cannot be made is wrong use, told in one line."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    assert "file" in refused("compare", *pair(tmp_path), "--out", tmp_path / "file").err
    assert "file" in refused("compare", *pair(tmp_path), "--out", tmp_path / "file" / "in").err


def test_an_unknown_format_leaves_the_folder_as_it_was(ask: Ask, tmp_path: Path) -> None:
    """A format that is not known is refused before any other is written."""
    ask("compare", *pair(tmp_path), "--out", "out")
    Path("out/report.md").unlink()
    found = ask("report", "out", "--format", "md,htm")

    assert (2, 1) == (found.code, len(found.err.splitlines()))
    assert "did you mean 'html'?" in found.err
    assert not Path("out/report.md").exists()


def test_no_arguments_show_the_help(ask: Ask) -> None:
    """A door that is opened without a word says what it can do."""
    found = ask()

    assert "compare" in found.out + found.err
    assert (0, "") == ask("--help")[::2]


def test_the_module_compares_without_torch(tmp_path: Path) -> None:
    """`python -m harness compare` works in a process of its own where torch cannot be imported."""
    one, two = pair(tmp_path, differ)
    code = (
        "import runpy, sys; sys.modules['torch'] = None; sys.modules['pandas'] = None;"
        "runpy.run_module('harness', run_name='__main__', alter_sys=True)"
    )
    arguments = ["compare", str(one), str(two), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )

    assert (1, "") == (done.returncode, done.stderr)
    assert "(different)" in done.stdout
    assert RunRecord(one).spec == spec()


@pytest.mark.parametrize("content", ["a: [", "no mapping", "num_processes: 2"])
def test_a_broken_launcher_configuration_is_refused(
    refused: Ask, content: str, tmp_path: Path
) -> None:
    """What is no YAML, no mapping, or names no kind of launch is refused before work starts."""
    config = tmp_path / "launch.yaml"
    config.write_text(content, encoding="utf-8")
    options = ("--processes", "2", "--launcher", "accelerate", "--launcher-config", config)
    assert "configuration is" in refused("run", *options).err


def test_noise_takes_enough_draws(refused: Ask) -> None:
    """Of three draws the spread is hardly known; the least number is in the line."""
    assert "4" in refused("run", "--noise", 3).err


def test_compare_takes_noise_from_a_run_with_draws(refused: Ask, tmp_path: Path) -> None:
    """A folder without draws tells no noise, and the line says how to make one."""
    assert "--noise 8" in refused("compare", *pair(tmp_path), "--noise", tmp_path).err
