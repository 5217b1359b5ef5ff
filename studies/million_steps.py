"""Measures time and memory of writing and comparing records of a million steps without tensors.

    python -m studies.million_steps --out FOLDER

Three records at detail `steps` are written row by row, as a run writes them, each in its own
process. Then `harness compare` compares two pairs of them. In one pair a single bit of the loss of
the last step but one differs. Time and peak memory of each process are measured once for a tenth of
the steps and once for all, so that growth is visible. Takes about a minute. Published:
`reports/published/million-steps`. The exit code is 1 if a limit is exceeded.
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
from studies.study import write_result

__all__ = ["write_record"]

ROWS = 8  # in a batch
LIMIT_S, LIMIT_BYTES = 60.0, 1 << 30


def write_record(folder: Path, steps: int, planted: int | None) -> list[int]:
    """Write a run of `steps` steps to `folder`; return the resident bytes after each tenth.

    `planted`: the step whose loss is one unit in the last place larger.
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
    """Run a command; its exit code, output, wall and CPU seconds, and peak resident bytes."""
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
    """Write three records of `steps` steps; compare two equal ones and two that differ."""
    found: dict[str, Any] = {"steps": steps}
    module = [sys.executable, "-m", "studies.million_steps", "--steps", str(steps)]
    for name, planted in (("reference", []), ("same", []), ("other", ["--planted"])):
        done = _timed([*module, *planted, "--write", str(folder / name)])
        if done["exit_code"]:
            raise RuntimeError(done["output"])
        found["write"] = {
            "wall_s": done["wall_s"],
            "cpu_s": done["cpu_s"],
            "peak_bytes": done["peak_bytes"],
            "resident_bytes_by_tenth": json.loads(done["output"]),
        }
    found["record_bytes"] = sum(path.stat().st_size for path in (folder / "other").iterdir())
    for name, exit_code in (("same", 0), ("other", 1)):
        pair_folders = [str(folder / record) for record in ("reference", name)]
        out = folder / f"compare-{name}"
        done = _timed(
            [sys.executable, "-m", "harness", "compare", *pair_folders, "--out", str(out)]
        )
        if done["exit_code"] != exit_code:
            raise RuntimeError(f"exit code {done['exit_code']}: {done['output']}")
        pair = json.loads((out / "report.json").read_text())["comparisons"][0]
        found[f"compare_{name}"] = {
            "wall_s": done["wall_s"],
            "cpu_s": done["cpu_s"],
            "peak_bytes": done["peak_bytes"],
            "outcome": pair["outcome"],
            "first_divergence": pair["first_divergence"],
        }
    return found


def main() -> int:
    """Measure, print and write the result; the exit code is 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000, help="steps of a record")
    parser.add_argument("--out", type=Path, help="folder of result.json; default: none")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--planted", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write is not None:
        planted = options.steps - 1 if options.planted else None
        _print(json.dumps(write_record(options.write, options.steps, planted)))
        return 0
    found = []
    for steps in (options.steps // 10, options.steps):
        with tempfile.TemporaryDirectory() as scratch:
            found.append(measure(steps, Path(scratch)))
        _print(json.dumps(found[-1], indent=1))
    if options.out is not None:
        write_result(options.out, found)
    longest = [found[-1][f"compare_{name}"] for name in ("same", "other")]
    kept = all(each["wall_s"] <= LIMIT_S and each["peak_bytes"] <= LIMIT_BYTES for each in longest)
    return int(not kept)


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a study prints its result


if __name__ == "__main__":
    raise SystemExit(main())
