"""`harness bench` from end to end: killed and resumed, hanging, refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.execution.parent.process import import_ahead
from harness.results.sessions import FOLDER, read_sessions
from tests.faults.mutations import path_of
from tests.support.command import harness
from tests.support.small_runs import write_pairs

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def command(data: Path, loops: str, *more: str) -> list[str]:
    """The command of a short bench on the rows in `data`."""
    return [
        sys.executable, "-m", "harness", "bench", "--loops", loops,
        "--set", f"data={data}", "--set", "per_device_batch_size=2", "--out", "out", *more,
    ]  # fmt: skip


def environment(mark: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "HARNESS_BENCH_TEST": mark}


def bench(data: Path, loops: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run such a bench to its end in the folder of `data`, from this process."""
    return harness(*command(data, loops, *more)[3:], cwd=data.parent)


def bench_alone(data: Path, loops: str, *more: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, so that `left` finds what it left, orphans included."""
    return subprocess.run(
        command(data, loops, *more),
        cwd=data.parent,
        env=environment(str(data)),
        capture_output=True,
        text=True,
        timeout=300,
    )


def left(mark: str) -> list[int]:
    """Process ids that such a bench left behind."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HARNESS_BENCH_TEST") == mark and process.status() != "zombie":
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def below() -> set[int]:
    """Process ids below this process, the server that forks its workers included."""
    import_ahead()
    return {
        process.pid
        for process in psutil.Process().children(recursive=True)
        if process.is_running() and process.status() != "zombie"
    }


def test_a_killed_bench_can_be_resumed(tmp_path: Path) -> None:
    """SIGKILL of the parent loses the current session and leaves no process; --resume completes."""
    data = write_pairs(tmp_path / "data")
    more = ("--sessions", "3", "--rounds", "1")
    started = subprocess.Popen(
        [*command(data, "plain,trainer", *more), "--beside", "nothing"],
        cwd=tmp_path,
        env=environment(str(data)),
        stderr=subprocess.DEVNULL,
    )
    first = tmp_path / "out" / FOLDER / "001.parquet"
    deadline = time.monotonic() + 120
    while not first.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    second = bench(data, "plain,trainer", *more, "--resume")  # during the second session
    assert 2 == second.returncode
    assert "one bench at a time works in a folder" in second.stderr
    started.kill()
    started.wait()
    before = first.read_bytes()
    deadline = time.monotonic() + 20
    while left(str(data)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [] == left(str(data))
    assert ["001.parquet"] == [path.name for path in first.parent.glob("*")]

    other = bench(data, "plain,accelerated", *more, "--resume")
    assert 2 == other.returncode
    assert "same arms" in other.stderr

    done = bench(data, "plain,trainer", *more, "--resume")

    assert done.returncode in (0, 1, 4), done.stderr
    assert before == first.read_bytes()
    assert 3 == len(read_sessions(tmp_path / "out"))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (comparison,) = report["comparisons"]
    assert ("plain", "trainer") == (comparison["reference"], comparison["candidate"])
    assert "identical" == comparison["equality"]
    found = {finding["metric"]: finding for finding in comparison["findings"]}
    assert {"step_s", "cpu_step_s"} <= found.keys()
    for finding in found.values():
        assert finding["outcome"] in ("faster", "slower", "equivalent", "inconclusive")
        assert finding["interval"][0] <= finding["ratio"] <= finding["interval"][1]
        assert "s" == finding["unit"]
    result = report["bench"]["paraphrase"]
    arms = {arm["name"]: arm for arm in result["arms"]}
    assert {"plain", "control", "trainer"} == arms.keys()
    # The rule of thumb omits attention's own products and counts embeddings as products.
    assert 0.7 < arms["plain"]["flops_per_six_n_tokens"] < 1.3
    assert arms["plain"]["flops_per_step"] == arms["trainer"]["flops_per_step"]
    assert 0 < arms["plain"]["share_of_peak"] < 1
    assert {"data", "forward", "backward", "optimizer", "rest"} == arms["trainer"]["parts"].keys()
    printed = " ".join(done.stdout.split())
    assert result["conclusion"].split(";")[0] in printed
    for page, heading in (("report.md", "## Speed\n"), ("report.html", ">Speed</h2>")):
        assert heading in (tmp_path / "out" / page).read_text()


@pytest.mark.parametrize(
    ("loop", "message"),
    [("killed", "arm killed in session 1 ended with signal SIGKILL"), ("hangs", "arm hangs in")],
)
def test_an_arm_that_dies_or_hangs_is_named(loop: str, message: str, tmp_path: Path) -> None:
    """One line, exit code 3, and no process left; for a hanging arm the stack is logged."""
    data = write_pairs(tmp_path / "data")
    loops = f"plain,{path_of(loop)}"

    done = bench_alone(data, loops, "--beside", "nothing", "--timeout", "12")

    assert 3 == done.returncode
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("harness: "))
    assert message in line
    if loop == "hangs":
        assert "hung and was ended" in line
        log = (tmp_path / "out" / "logs" / "hangs" / "log.txt").read_text()
        assert "hangs.py" in log
    assert [] == left(str(data))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--margin", "0"), "a margin is a positive number"),
        (("--loops", "plain"), "compares an arm with the first one"),
        (("--device", "abacus"), "unknown device"),
        (("--arm", "x"), "--arm takes NAME=LOOP"),
        (("--resume",), "--resume"),
        (("--sessions", "2"), "sessions"),
    ],
)
def test_wrong_use_is_one_line(more: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """Exit code 2, and nothing is left behind."""
    done = harness("bench", *more, cwd=tmp_path)

    assert 2 == done.returncode
    assert 1 == len(done.stderr.splitlines())
    assert message in done.stderr
    assert [] == list(tmp_path.iterdir())


def test_several_cases_with_arms_of_other_kinds(tmp_path: Path) -> None:
    """Two cases share the budget; one more arm is traced, and one uses another interpreter."""
    before = below()
    short = (
        *("--loops", "plain", "--sessions", "3", "--rounds", "1", "--beside", "nothing"),
        *("--set", "train_rows=16", "--set", "eval_rows=8"),
        *("--set", "per_device_batch_size=2"),
    )
    seen = ("--arm", "seen=plain,observe=trace,detail=weights")
    elsewhere = ("--arm", f"elsewhere=plain,python={sys.executable}")

    cases = {"paraphrase", "causal_lm"}
    both = harness("bench", *sorted(cases), *short, *seen, "--out", "both", cwd=tmp_path)
    one = harness("bench", "paraphrase", *short, *elsewhere, "--out", "one", cwd=tmp_path)

    for done, out, names, name in (
        (both, "both", cases, "seen"),
        (one, "one", {"paraphrase"}, "elsewhere"),
    ):
        assert done.returncode in (0, 1, 4), done.stderr
        report = json.loads((tmp_path / out / "report.json").read_text())
        assert names == report["bench"].keys()
        for result in report["bench"].values():
            assert 3 == result["sessions"]
            arms = {arm["name"]: arm for arm in result["arms"]}
            assert {"plain", "control", name} == arms.keys()
            observed = "trace" if name == "seen" else "nothing"
            assert (observed, "nothing") == (arms[name]["observe"], arms["plain"]["observe"])
            assert (name == "elsewhere") == bool(arms[name]["python"])
    assert set() == below() - before
