"""A million steps without tensors: written as they come, in flat memory, and compared in seconds.

`python -m studies.million_steps --out FOLDER`

Two records at detail `steps` are written row by row, as a run writes them, in a process of its own
each; then `harness compare` compares them in another. Each process tells its time and the largest
memory that it held, once for a tenth of the steps and once for all, so that one sees what grows.
The second record of a pair differs from the first in one bit of one loss, in the last step but one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.results.record import SCHEMA_VERSION, Evaluation, Header, RecordWriter
from harness.spec.case import Case, RunSpec
from harness.spec.recipe import Recipe

__all__ = ["write_record"]

ROWS = 8  # in a batch
LIMIT_S, LIMIT_BYTES = 60.0, 1 << 30


def write_record(folder: Path, steps: int, planted: int | None) -> list[int]:
    """A run of so many steps in `folder`; return the resident bytes after each tenth of them.

    `planted`: the step in which the loss is one unit in the last place larger.
    """
    writer, resident = RecordWriter(folder), []
    for step in range(1, steps + 1):
        first = step * ROWS % 1_000_003
        loss = 0.25 + 1 / (1 + step % 4096)
        writer.add(
            "micro_batches",
            step=step,
            micro_batch=1,
            sample_ids=list(range(first, first + ROWS)),
            batch_content=step * 0x9E3779B97F4A7C15 % 2**64,
            rng=step * 0xBF58476D1CE4E5B9 % 2**64,
            loss=math.nextafter(loss, 2.0) if step == planted else loss,
        )
        writer.add(
            "circumstances",
            step=step,
            micro_batch=1,
            training=True,
            shape=[ROWS, 128],
            labels=ROWS,
            targets=ROWS,
            passes_before=0,
            compute_dtype="float32",
        )
        writer.add(
            "steps",
            step=step,
            learning_rate=[5e-5 * (1 - (step - 1) / steps)],
            grad_norm=None,
            gradients=None,
            weights=None,
            optimizer_state=None,
        )
        writer.add("logged", step=step, loss=loss)
        if step % (steps // 10) == 0:
            resident.append(_resident_bytes())
    recipe = Recipe(max_steps=steps)
    case = Case(name="long", workload="paraphrase", recipe=recipe)
    evaluation = Evaluation(step=steps, rows=8, metrics={"accuracy": 0.875})
    header = Header(
        schema_version=SCHEMA_VERSION,
        spec=RunSpec(case=case, loop="plain", recipe=recipe, detail="steps"),
        status="completed",
        environment={},
        digest_algorithm="xxh3_64",
        steps_expected=steps,
        parameters=1,
        steps=steps,
        micro_batches=steps,
        samples=steps * ROWS,
        epochs=steps * ROWS / 1_000_003,
        initial_weights="0" * 15 + "1",
        evaluations=(evaluation,),
        wall_s=1.0,
    )
    writer.close(header)
    return resident


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _timed(command: list[str]) -> dict[str, Any]:
    """Run a command; its exit code, output, wall and CPU seconds, and largest resident bytes."""
    script = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps({'exit_code': done.returncode, 'output': done.stdout + done.stderr,\n"
        "    'cpu_s': used.ru_utime + used.ru_stime, 'peak_bytes': used.ru_maxrss * 1024}))"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=True
    )
    return {**json.loads(done.stdout), "wall_s": time.perf_counter() - started}


def measure(steps: int, folder: Path) -> dict[str, Any]:
    """Write three records of so many steps, compare two equal ones and two that differ."""
    found: dict[str, Any] = {"steps": steps}
    module = [sys.executable, "-m", "studies.million_steps", "--steps", str(steps)]
    for name, planted in (("reference", []), ("same", []), ("other", ["--planted"])):
        told = _timed([*module, *planted, "--write", str(folder / name)])
        if told["exit_code"]:
            raise RuntimeError(told["output"])
        found["write"] = {
            "wall_s": told["wall_s"],
            "cpu_s": told["cpu_s"],
            "peak_bytes": told["peak_bytes"],
            "resident_bytes_by_tenth": json.loads(told["output"]),
        }
    found["record_bytes"] = sum(path.stat().st_size for path in (folder / "other").iterdir())
    for name, exit_code in (("same", 0), ("other", 1)):
        sides = [str(folder / side) for side in ("reference", name)]
        out = folder / f"compare-{name}"
        told = _timed([sys.executable, "-m", "harness", "compare", *sides, "--out", str(out)])
        if told["exit_code"] != exit_code:
            raise RuntimeError(f"exit code {told['exit_code']}: {told['output']}")
        pair = json.loads((out / "report.json").read_text())["comparisons"][0]
        found[f"compare_{name}"] = {
            "wall_s": told["wall_s"],
            "cpu_s": told["cpu_s"],
            "peak_bytes": told["peak_bytes"],
            "outcome": pair["outcome"],
            "first_divergence": pair["first_divergence"],
        }
    return found


def main() -> int:
    """Measure, tell and write; the exit code is 1 where a limit was passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--planted", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write is not None:
        planted = asked.steps - 1 if asked.planted else None
        _tell(json.dumps(write_record(asked.write, asked.steps, planted)))
        return 0
    found = []
    for steps in (asked.steps // 10, asked.steps):
        with tempfile.TemporaryDirectory() as scratch:
            found.append(measure(steps, Path(scratch)))
        _tell(json.dumps(found[-1], indent=1))
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "result.json").write_text(json.dumps(found, indent=1) + "\n")
    longest = [found[-1][f"compare_{name}"] for name in ("same", "other")]
    kept = all(each["wall_s"] <= LIMIT_S and each["peak_bytes"] <= LIMIT_BYTES for each in longest)
    return int(not kept)


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a benchmark talks


if __name__ == "__main__":
    raise SystemExit(main())
