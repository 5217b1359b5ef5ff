"""`harness run`: train cases by loops and compare every pair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console

from harness.cli.shared import (
    DigOption,
    DirectOption,
    EnvironmentsOption,
    LocalizeOption,
    MarginOption,
    OutOption,
    PythonOption,
    WithOption,
    command_line,
    output_console,
    settings_from,
    show,
    sides_from,
)
from harness.comparison.noise.band import LEAST_DRAWS
from harness.comparison.run import run_cases
from harness.comparison.seeds import parse_margins
from harness.diagnosis.localize import localize_report
from harness.errors import SpecError, unknown_name
from harness.execution.environments.variants import Side, one_case_a_side, pythons
from harness.execution.nodes import PORT, this_node
from harness.execution.parent.follower import follow
from harness.execution.parent.runner import TIMEOUT_S
from harness.regression.upgrade import add_upgrade_result
from harness.spec import registry as catalogue
from harness.spec.expand import one_case_a_device, one_case_a_seed
from harness.spec.recipe import DETAILS, DEVICES, LAUNCHERS, Conventions
from harness.spec.suites import SUITES

__all__ = ["run_command"]


def run_command(
    cases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CASE|case.toml]...", help="Default: paraphrase.", show_default=False
        ),
    ] = None,
    loops: Annotated[
        str,
        typer.Option(help="Loops to compare, or paths of your own; the first is the reference."),
    ] = "plain,accelerated,trainer",
    device: Annotated[
        str | None, typer.Option(help=f"One of: {', '.join(DEVICES)}; default: cpu.")
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE,...",
            help="Instead: train each loop on each of these, and compare it with itself on the "
            "first.",
        ),
    ] = None,
    python: PythonOption = None,
    requirements: WithOption = None,
    environments: EnvironmentsOption = None,
    direct_references: DirectOption = False,
    digests: Annotated[
        str | None,
        typer.Option(
            help="host or device: where tensors are digested; default: where they are trained. "
            "Only records with the same ones can be compared."
        ),
    ] = None,
    detail: Annotated[
        str,
        typer.Option(
            help="How much a trace holds. steps: batches, generators, losses and learning rates; "
            "weights: gradients and weights too; full: the optimizer's state too."
        ),
    ] = "full",
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            help="How many train one model together, each on its rows; of several nodes, on each.",
        ),
    ] = 1,
    nnodes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Train on so many machines. The same command is started on each, in any order, "
            "but for --node-rank; --out is on a file system that all of them share.",
        ),
    ] = 1,
    node_rank: Annotated[
        int | None,
        typer.Option(min=0, help="Which of them this is; 0 gathers the records and reports."),
    ] = None,
    master_addr: Annotated[
        str | None, typer.Option(metavar="HOST", help="Node 0, as the others reach it.")
    ] = None,
    master_port: Annotated[
        int, typer.Option(min=1, max=65535, help="A port that is free on node 0.")
    ] = PORT,
    launcher: Annotated[
        str, typer.Option(help=f"What starts them: one of {', '.join(LAUNCHERS)}.")
    ] = LAUNCHERS[0],
    launcher_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A configuration file for accelerate launch."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="End a run that takes no step for so long, be it amid an evaluation.",
        ),
    ] = TIMEOUT_S,
    conventions: Annotated[
        str,
        typer.Option(
            help="matched: every loop follows one recipe; native: its framework's habits."
        ),
    ] = "matched",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A recipe field or workload option; repeat."
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help=f"A named set of cases: {', '.join(SUITES)}. Goes on past failures; started again "
            "with the same --out, it does only what is left."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; default: as many as have a core.")
    ] = None,
    resume_at: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEP",
            help="Also kill each loop's process amid the update after STEP, resume it from its "
            "checkpoint in a new process, and compare it with its uninterrupted run.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Train with N seeds a loop, from the recipe's seed on, and judge the final "
            "metrics by two one-sided tests.",
        ),
    ] = None,
    margin: MarginOption = None,
    noise: Annotated[
        int | None,
        typer.Option(
            min=LEAST_DRAWS,
            metavar="DRAWS",
            help="Also run the first loop so many times perturbed by rounding, and judge each pair "
            "that is not identical against that noise; 8 is a good number.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on in the folder --out, where the same command was stopped: what was "
            "completed stays, and what wrote a checkpoint (--set save_every=N) goes on from it.",
        ),
    ] = False,
    localize: LocalizeOption = False,
    dig: DigOption = False,
    out: OutOption = None,
) -> int:
    """Train each case by each loop and compare all pairs, value by value, step by step.

    Example: harness run mrpc --set data=FOLDER --set model=FOLDER --set max_steps=50
    """
    localize = localize or dig
    if conventions not in get_args(Conventions):
        raise unknown_name("conventions", conventions, get_args(Conventions))
    if launcher not in LAUNCHERS:
        raise unknown_name("launcher", launcher, LAUNCHERS)
    if launcher_config is not None and launcher != "accelerate":
        raise SpecError(
            "--launcher-config is for accelerate launch", launcher, "add --launcher accelerate"
        )
    if device not in (None, *DEVICES):
        raise unknown_name("device", str(device), DEVICES)
    if digests not in (None, "host", "device"):
        raise unknown_name("place for --digests", str(digests), ("host", "device"))
    if detail not in DETAILS:
        raise unknown_name("detail", detail, DETAILS)
    if devices is not None and (device or digests):
        rule = "--devices chooses devices and digests by itself"
        raise SpecError(rule, device or digests, "leave --device and --digests out")
    elsewhere = bool(python or requirements)
    if elsewhere and (devices is not None or noise is not None or nnodes > 1 or localize):
        given = {
            "--devices": devices,
            "--noise": noise,
            "--nnodes": nnodes > 1,
            "--localize": localize,
        }
        rule = "--python and --with compare each loop with itself on one machine"
        met = ", ".join(name for name, value in given.items() if value)
        raise SpecError(rule, met, "leave that out")
    if elsewhere and launcher == "accelerate":
        rule = "accelerate launch starts interpreters of its own"
        raise SpecError(rule, "--python or --with", "take --launcher torchrun")
    if suite is not None and suite not in SUITES:
        raise unknown_name("suite", suite, SUITES)
    if suite is not None and cases:
        raise SpecError("a suite names its cases itself", " ".join(cases), "leave them out")
    if margin and seeds is None:
        raise SpecError("--margin is for several seeds", "none", "pass --seeds 5")
    if localize and nnodes > 1:
        rule = "--localize replays on one node"
        raise SpecError(rule, f"--nnodes {nnodes}", "compare the folder afterwards with --localize")
    if localize and (seeds is not None or devices is not None):
        rule = "--localize looks into pairs of runs, not of seeds or devices"
        raise SpecError(rule, f"--{'seeds' if seeds else 'devices'}", "leave that out")
    if resume and out is None:
        raise SpecError("--resume goes on in a folder", "none", "pass it by --out")
    node = this_node(nnodes, node_rank, master_addr, master_port, out, jobs)
    named = SUITES[suite]() if suite else [catalogue.case(name) for name in cases or ["paraphrase"]]
    where: dict[str, Any] = {"device": device or "cpu", "digests": digests}
    if processes * nnodes > 1:
        where["world_size"] = processes * nnodes
    chosen = [
        catalogue.with_settings(case, settings_from(settings)).model_copy(update=where)
        for case in named
    ]
    if devices is not None:
        names = [name.strip() for name in devices.split(",") if name.strip()]
        chosen = [one for case in chosen for one in one_case_a_device(case, names)]
    sides: list[Side] = []
    if elsewhere:
        sides = sides_from(python, requirements, direct_references, environments)
        chosen = [one for case in chosen for one in one_case_a_side(case, sides)]
    if resume_at is not None:
        chosen = [case.model_copy(update={"resume_at": resume_at}) for case in chosen]
    if seeds is not None:
        chosen = [one for case in chosen for one in one_case_a_seed(case, seeds)]
    if noise is not None:
        chosen = [case.model_copy(update={"noise": noise}) for case in chosen]
    asked: dict[str, Any] = {
        "cases": chosen,
        "loops": [name.strip() for name in loops.split(",") if name.strip()],
        "conventions": conventions,
        "out": out,
        "console": Console(stderr=True),
        "suite": suite is not None,
        "resume": resume,
        "timeout_s": timeout,
        "launcher": launcher,
        "launcher_config": launcher_config,
        "node": node,
        "detail": detail,
    }
    margins = parse_margins(margin or ())
    if node and node.rank:
        follow(**asked)
        said = f"Node {node.rank} has done its part; node 0 writes the report to {out}"
        output_console().print(said, soft_wrap=True, highlight=False)
        return 0
    report, folder = run_cases(
        **asked,
        jobs=jobs,
        command=command_line(),
        margins=margins,
        pythons=pythons(sides),
    )
    if localize:
        report = localize_report(report, folder, jobs, Console(stderr=True), timeout)
    if sides:
        report = add_upgrade_result(report, folder, sides, {})
    return show(report, folder)
