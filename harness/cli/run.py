"""`harness run`: train cases by loops and compare every pair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.completion import complete_devices, complete_launchers, complete_suites
from harness.cli.dry_run import DryRunOption, plan_of_run, show_plan
from harness.cli.options import (
    COMPARE,
    CONTINUE,
    LOOPS,
    TRAIN,
    WHERE,
    CasesArgument,
    ConventionsOption,
    DetailOption,
    DeviceOption,
    DigestsOption,
    DigOption,
    DirectOption,
    EnvironmentsOption,
    JobsOption,
    JsonOption,
    LocalizeOption,
    LoopsOption,
    MarginOption,
    OutOption,
    PythonOption,
    QuietOption,
    SettingsOption,
    TimeoutOption,
    VerboseOption,
    WithOption,
)
from harness.cli.shared import (
    command_line,
    library_sets_of,
    names_in,
    output_console,
    pairs_from,
    progress_console,
    request_from,
    show,
    view_of,
)
from harness.comparison.run import run_cases
from harness.diagnosis.localize import AFFORDABLE_S, localize_report
from harness.execution.nodes import this_node
from harness.execution.parent.follower import follow
from harness.regression.upgrade import add_upgrade_result
from harness.spec.case import LEAST_DRAWS
from harness.spec.recipe import EXECUTORS, LAUNCHERS
from harness.spec.request import PORT, TIMEOUT_S
from harness.spec.slurm import DEFAULT_MINUTES, SLURM_OPTIONS
from harness.spec.suites import SUITES

__all__ = ["run_command"]


def run_command(
    cases: CasesArgument = None,
    loops: LoopsOption = LOOPS,
    conventions: ConventionsOption = "matched",
    settings: SettingsOption = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help=f"A named set of cases: {', '.join(SUITES)}. It continues past failures. Started "
            "again with the same --out, it makes only the runs that are missing, without --resume.",
            rich_help_panel=TRAIN,
            autocompletion=complete_suites,
        ),
    ] = None,
    device: DeviceOption = None,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE,...",
            help="Train each loop on each of these devices, and compare it with itself on the "
            "first.",
            rich_help_panel=WHERE,
            autocompletion=complete_devices,
        ),
    ] = None,
    python: PythonOption = None,
    requirements: WithOption = None,
    environments: EnvironmentsOption = None,
    direct_references: DirectOption = False,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes on each node that train one model together, each on its own rows. "
            "Default: the number in the case file, or 1.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    launcher: Annotated[
        str,
        typer.Option(
            help=f"What starts several processes: one of {', '.join(LAUNCHERS)}.",
            rich_help_panel=WHERE,
            autocompletion=complete_launchers,
        ),
    ] = LAUNCHERS[0],
    launcher_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Configuration file for accelerate launch.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    nnodes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Machines that train together. Start the same command on each, in any order, "
            "with its own --node-rank and an --out that all of them share.",
            rich_help_panel=WHERE,
        ),
    ] = 1,
    node_rank: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="The number of this machine. Node 0 gathers the records and reports.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    master_addr: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="The address of node 0.", rich_help_panel=WHERE),
    ] = None,
    master_port: Annotated[
        int,
        typer.Option(
            min=1, max=65535, help="A port that is free on node 0.", rich_help_panel=WHERE
        ),
    ] = PORT,
    jobs: JobsOption = None,
    executor: Annotated[
        str,
        typer.Option(
            metavar="|".join(EXECUTORS),
            help="What makes the runs: this machine, or a job of a SLURM cluster for each run. "
            "slurm needs the extra 'slurm' and an --out that the cluster shares.",
            rich_help_panel=WHERE,
        ),
    ] = EXECUTORS[0],
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help=f"An option of each job: {', '.join(SLURM_OPTIONS)}. Repeat it for more. Default: "
            f"the processors and GPUs that the run uses, and {DEFAULT_MINUTES} min.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    detail: DetailOption = "full",
    digests: DigestsOption = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Train each loop with N seeds, from the seed of the recipe on. Compare the final "
            "metrics by two one-sided tests.",
            rich_help_panel=COMPARE,
        ),
    ] = None,
    margin: MarginOption = None,
    noise: Annotated[
        int | None,
        typer.Option(
            metavar="DRAWS",
            help="Also run the first loop this many times, perturbed by rounding. Compare each "
            f"pair that is not identical with that noise band. At least {LEAST_DRAWS}; 8 is a "
            "good number.",
            rich_help_panel=COMPARE,
        ),
    ] = None,
    resume_at: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEP",
            help="Also kill each loop's process during the update after STEP, resume it from its "
            "checkpoint in a new process, and compare it with its uninterrupted run.",
            rich_help_panel=COMPARE,
        ),
    ] = None,
    localize: LocalizeOption = None,
    dig: DigOption = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue in the folder --out, in which the same command was stopped. Completed "
            "runs stay. A run with checkpoints (--set save_every=N) continues from the last one. A "
            "suite continues without this option.",
            rich_help_panel=CONTINUE,
        ),
    ] = False,
    timeout: TimeoutOption = TIMEOUT_S,
    dry_run: DryRunOption = False,
    out: OutOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Train each case by each loop. Compare every pair of loops, value by value, step by step.

    Example: harness run --loops plain,trainer --set max_steps=50
    """
    view = view_of(verbose, quiet, as_json)
    request = request_from(
        cases,
        loops,
        settings,
        conventions=conventions,
        suite=suite,
        device=device,
        devices=None if devices is None else names_in(devices),
        interpreters=python or (),
        requirements=requirements or (),
        environments=environments,
        direct_references=direct_references,
        processes=processes,
        launcher=launcher,
        launcher_config=launcher_config,
        nnodes=nnodes,
        node_rank=node_rank,
        master_addr=master_addr,
        master_port=master_port,
        jobs=jobs,
        executor=executor,
        slurm=pairs_from(slurm, "--slurm", "KEY=VALUE", "partition=NAME"),
        detail=detail,
        digests=digests,
        seeds=seeds,
        margins=pairs_from(margin, "--margin", "METRIC=VALUE", "accuracy=0.02"),
        noise=noise,
        resume_at=resume_at,
        localize=True if dig else localize,
        resume=resume,
        timeout_s=timeout,
        out=out,
    )
    node, console = this_node(request), progress_console(view)
    if dry_run:
        return show_plan(plan_of_run(request), view)
    if node and node.rank:
        follow(request, node, console)
        done = f"Node {node.rank} has done its part; node 0 writes the report to {out}"
        output_console().print(done, soft_wrap=True, highlight=False)
        return 0
    library_sets = library_sets_of(request)
    report, folder = run_cases(request, console, command_line(), node, library_sets)
    if request.localizes:
        within_s = None if request.localize else AFFORDABLE_S
        report = localize_report(report, folder, jobs, console, timeout, within_s)
    if library_sets:
        report = add_upgrade_result(report, folder, library_sets, {})
    return show(report, folder, view)
