"""The command line: reads what was asked, calls the rooms below, prints, and picks the exit code.

Exit codes: 0 what was asked holds; 1 a difference; 2 wrong use; 3 a run failed; 4 no verdict.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness import catalogue
from harness.across_devices import one_case_a_device
from harness.bench.arms import arms_of
from harness.bench.case_bench import Asked, Beside
from harness.bench.command import bench_cases
from harness.bench.verdicts import LEAST_SESSIONS
from harness.envelope import LEAST_DRAWS
from harness.errors import HarnessError, RunFailed, SpecError, unknown_name
from harness.explain import explain_case, explain_folders
from harness.follower import follow
from harness.metrics import Margin
from harness.nodes import PORT, this_node
from harness.publishing import publish
from harness.report.model import Report
from harness.report.render import FORMATS, shown, write
from harness.report.terminal import print_report
from harness.runner import TIMEOUT_S
from harness.seeds import margins_from, one_case_a_seed
from harness.session import compare_folders, run_cases
from harness.spec import DETAILS, DEVICES, LAUNCHERS, Conventions, Recipe
from harness.suites import SUITES

__all__ = ["main"]

EXIT_CODES = {"equivalent": 0, "different": 1, "regression": 1, "failed": 3, "no_verdict": 4}

_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt

app = typer.Typer(
    name="harness",
    help="Is this training loop the same as that one? If not, at which step and why?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
MarginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--margin",
        metavar="METRIC=VALUE",
        help="With several seeds: the difference of a final metric that does not matter, such as "
        "accuracy=0.02 or perplexity=5%; repeat.",
    ),
]
DigOption = Annotated[
    bool,
    typer.Option(
        "--dig",
        help="Replay each pair that parts up to there, and name the first module that takes the "
        "same and gives something else.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the results; default: a new one in reports/."),
]


def main() -> int:
    """Run the command line and return its exit code. Nothing below it prints or exits."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = int(app(standalone_mode=False) or 0)
        if code != _INTERRUPTED:
            return code
        return _complain("interrupted; records that were complete are kept", 3)
    except HarnessError as error:
        return _complain(str(error), 3 if isinstance(error, RunFailed) else 2)
    except Exception as error:
        # The class of wrong-use errors is private to typer, or to click, by version.
        if hasattr(error, "format_message"):
            return _complain(error.format_message(), 2)
        raise


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _complain(message: str, code: int) -> int:
    print(f"harness: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201  # the door may
    return code


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Cases, loops with their native conventions, workloads, devices and recipe fields."""
    loops, workloads, cases = catalogue.loops(), catalogue.workloads(), catalogue.cases()
    if as_json:
        content = {
            "cases": {name: case.model_dump(mode="json") for name, case in cases.items()},
            "loops": {
                name: {
                    "summary": entry.summary,
                    "native": entry.native,
                    "native_distributed": entry.native_distributed,
                }
                for name, entry in loops.items()
            },
            "workloads": {
                n: {"summary": e.summary, "options": e.options} for n, e in workloads.items()
            },
            "devices": DEVICES,
            "recipe": {
                name: {"default": field.default, "description": field.description}
                for name, field in Recipe.model_fields.items()
            },
        }
        Console(soft_wrap=True).print_json(json.dumps(content))
        return
    console = _console()
    first = Table(
        "case", "workload", "options", "what", title="Cases and workloads", title_justify="left"
    )
    for name, case in cases.items():
        entry = workloads[case.workload]
        first.add_row(name, case.workload, escape(shown(case.options)), escape(entry.summary))
    second = Table("loop", "what", title="Loops", title_justify="left")
    for entry_of_loop in loops.values():
        second.add_row(entry_of_loop.name, escape(entry_of_loop.summary))
    third = Table(
        "field",
        "matched",
        *loops,
        title="Conventions, where a loop's native ones depart",
        title_justify="left",
    )
    for name, field in Recipe.model_fields.items():
        departs = [shown(e.native[name]) if name in e.native else "" for e in loops.values()]
        if any(departs):
            third.add_row(name, escape(shown(field.default)), *map(escape, departs))
    for name, field in Recipe.model_fields.items():
        tables = [e.native_distributed for e in loops.values()]
        departs = [shown(table[name]) if name in table else "" for table in tables]
        if any(departs):
            several = f"{name}, several processes"
            third.add_row(several, escape(shown(field.default)), *map(escape, departs))
    fourth = Table(
        "field", "default", "what", title="Recipe: fields for --set", title_justify="left"
    )
    for name, field in Recipe.model_fields.items():
        fourth.add_row(
            name, escape(shown(field.default)), escape(" ".join((field.description or "").split()))
        )
    for table in (first, second, third, fourth):
        console.print(table)
    console.print(f"Devices: {', '.join(DEVICES)}")


@app.command("run")
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
    dig: DigOption = False,
    out: OutOption = None,
) -> int:
    """Train each case by each loop and compare all pairs, value by value, step by step.

    Example: harness run mrpc --set data=FOLDER --set model=FOLDER --set max_steps=50
    """
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
    if suite is not None and suite not in SUITES:
        raise unknown_name("suite", suite, SUITES)
    if suite is not None and cases:
        raise SpecError("a suite names its cases itself", " ".join(cases), "leave them out")
    if margin and seeds is None:
        raise SpecError("--margin is for several seeds", "none", "pass --seeds 5")
    if dig and nnodes > 1:
        rule = "--dig replays on one node"
        raise SpecError(rule, f"--nnodes {nnodes}", "compare the folder afterwards with --dig")
    if dig and (seeds is not None or devices is not None):
        rule = "--dig looks into pairs of runs, not of seeds or devices"
        raise SpecError(rule, f"--{'seeds' if seeds else 'devices'}", "leave that out")
    if resume and out is None:
        raise SpecError("--resume goes on in a folder", "none", "pass it by --out")
    node = this_node(nnodes, node_rank, master_addr, master_port, out, jobs)
    named = SUITES[suite]() if suite else [catalogue.case(name) for name in cases or ["paraphrase"]]
    where: dict[str, Any] = {"device": device or "cpu", "digests": digests}
    if processes * nnodes > 1:
        where["world_size"] = processes * nnodes
    chosen = [
        catalogue.with_settings(case, _settings(settings)).model_copy(update=where)
        for case in named
    ]
    if devices is not None:
        names = [name.strip() for name in devices.split(",") if name.strip()]
        chosen = [one for case in chosen for one in one_case_a_device(case, names)]
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
    margins = margins_from(margin or ())
    if node and node.rank:
        follow(**asked)
        said = f"Node {node.rank} has done its part; node 0 writes the report to {out}"
        _console().print(said, soft_wrap=True, highlight=False)
        return 0
    report, folder = run_cases(**asked, jobs=jobs, command=_command(), margins=margins, dig=dig)
    return _show(report, folder)


@app.command("bench")
def bench_command(
    cases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CASE|case.toml]...", help="Default: paraphrase.", show_default=False
        ),
    ] = None,
    loops: Annotated[
        str,
        typer.Option(help="Loops to time, or paths of your own; the first is the reference."),
    ] = "plain,accelerated,trainer",
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            metavar="NAME=LOOP,FIELD=VALUE,...",
            help="A further arm: a loop with other fields of the recipe, or with observe=trace, "
            "observe=timing, python=PATH; repeat.",
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(help="Each loop also runs by this interpreter, with its libraries."),
    ] = None,
    device: Annotated[str, typer.Option(help=f"One of: {', '.join(DEVICES)}.")] = "cpu",
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
    sessions: Annotated[
        int | None,
        typer.Option(
            min=LEAST_SESSIONS,
            help="Exactly so many, as far as the budget goes; default: until the intervals are "
            "narrow.",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Turns of each arm in a session; default: by the budget."),
    ] = None,
    budget: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wall time of everything.")
    ] = Asked.budget_s,
    margin: Annotated[
        str,
        typer.Option(metavar="SHARE", help="The difference that does not matter, as 0.02 or 2%."),
    ] = "2%",
    timeout: Annotated[
        float,
        typer.Option(
            min=1, metavar="SECONDS", help="An arm that takes longer for a turn is ended and named."
        ),
    ] = Asked.timeout_s,
    beside: Annotated[
        str,
        typer.Option(
            help="all: also look whether arms compute the same, and at their memory, profile and "
            "operations; equality: only at the first; nothing."
        ),
    ] = Asked.beside,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on in the folder --out, where the same command was stopped."
        ),
    ] = False,
    out: OutOption = None,
) -> int:
    """How fast are loops beside each other, and how sure is that? Live processes take turns.

    Example: harness bench --loops plain,trainer --budget 120
    """
    if conventions not in get_args(Conventions):
        raise unknown_name("conventions", conventions, get_args(Conventions))
    if device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    if resume and out is None:
        raise SpecError("--resume goes on in a folder", "none", "pass it by --out")
    named = [name.strip() for name in loops.split(",") if name.strip()]
    if beside not in get_args(Beside):
        raise unknown_name("value for --beside", beside, get_args(Beside))
    planned = {}
    for name in cases or ["paraphrase"]:
        case = catalogue.with_settings(catalogue.case(name), _settings(settings))
        case = case.model_copy(update={"device": device})
        found = arms_of(case, named, cast(Conventions, conventions), arms or (), python)
        planned[case.name] = found
    tolerated = Margin.parse(margin).value
    asked = Asked(budget, sessions, rounds, tolerated, timeout, cast(Beside, beside))
    console = Console(stderr=True)
    report, folder = bench_cases(planned, asked, out, _command(), console, resume)
    return _show(report, folder)


@app.command("compare")
def compare_command(
    reference: Annotated[Path, typer.Argument(help="A record, or the output folder of a run.")],
    candidate: Annotated[Path, typer.Argument(help="The same, to be judged against it.")],
    noise: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN_DIR",
            help="Judge pairs that are not identical against the noise that a run with --noise "
            "found; both sides must have been made with --noise too.",
        ),
    ] = None,
    margin: MarginOption = None,
    dig: DigOption = False,
    out: OutOption = None,
) -> int:
    """Compare two records, or two output folders pair by pair. Needs no torch but to dig."""
    report, folder = compare_folders(
        reference,
        candidate,
        out,
        _command(),
        margins_from(margin or ()),
        noise,
        dig=Console(stderr=True) if dig else None,
    )
    return _show(report, folder)


@app.command("explain")
def explain_command(
    asked: Annotated[
        list[str],
        typer.Argument(
            metavar="CASE | REFERENCE CANDIDATE",
            help="A case or case.toml, whose loops are compared; or two records or run folders.",
        ),
    ],
    loops: Annotated[
        str | None,
        typer.Option(
            help="Of a case: loops, or paths of your own; the others are explained against the "
            "first, or of three the odd one. Default: plain,trainer."
        ),
    ] = None,
    conventions: Annotated[
        str | None,
        typer.Option(
            help="Of a case: native, its frameworks' habits, or matched. Default: native."
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help=f"Of a case: one of {', '.join(DEVICES)}; default: cpu.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Of a case: a recipe field or option; repeat."
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEPS",
            help="The most training steps that the replays of a pair may take, besides the runs "
            "to be explained. What is known by then is told, with exit code 4.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; default: as many as have a core.")
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="End a run that takes no step for so long."),
    ] = TIMEOUT_S,
    out: OutOption = None,
) -> int:
    """Find by experiment which fields make two runs differ, and how far each moves them.

    The candidate is replayed with some of its fields switched to the reference's values, until the
    smallest set is found with which the two are identical, bit for bit. Started again with the
    same --out, it makes no replay twice.

    Example: harness explain mrpc --set data=FOLDER --set model=FOLDER --set max_steps=12
    """
    console = Console(stderr=True)
    if len(asked) == 2:
        for option, value in (
            ("--loops", loops),
            ("--conventions", conventions),
            ("--device", device),
            ("--set", settings),
        ):
            if value is not None:
                rule = f"{option} is for a case; two folders say it themselves"
                raise SpecError(rule, " ".join(asked), "leave it out")
        report, folder = explain_folders(
            Path(asked[0]), Path(asked[1]), budget, jobs, out, _command(), console, timeout
        )
        return _show(report, folder)
    if len(asked) != 1:
        raise SpecError("explain takes a case, or two folders", " ".join(asked), "pass one or two")
    chosen = conventions or "native"
    if chosen not in get_args(Conventions):
        raise unknown_name("conventions", chosen, get_args(Conventions))
    if device not in (None, *DEVICES):
        raise unknown_name("device", str(device), DEVICES)
    case = catalogue.with_settings(catalogue.case(asked[0]), _settings(settings))
    if device is not None:
        case = case.model_copy(update={"device": device})
    report, folder = explain_case(
        case,
        [name.strip() for name in (loops or "plain,trainer").split(",") if name.strip()],
        chosen,  # type: ignore[arg-type]  # just checked against its values
        budget,
        jobs,
        out,
        _command(),
        console,
        timeout,
    )
    return _show(report, folder)


@app.command("report")
def report_command(
    run_dir: Annotated[Path, typer.Argument(help="The output folder of a harness command.")],
    formats: Annotated[
        str, typer.Option("--format", help=f"Some of: {', '.join(FORMATS)}.")
    ] = ",".join(FORMATS),
) -> int:
    """Print a report again and write its files anew."""
    report = Report.read(run_dir)
    write(report, run_dir, [name.strip() for name in formats.split(",")])
    return _show(report, run_dir)


@app.command("publish")
def publish_command(
    run_dir: Annotated[Path, typer.Argument(help="The output folder of a harness command.")],
    name: Annotated[str, typer.Argument(help="Its name under reports/published/.")],
) -> None:
    """Copy a run to reports/published/NAME, its per-tensor trace thinned to stay under 3 MB."""
    target = Path("reports") / "published" / name
    kept = publish(run_dir, target)
    Console().print(f"Published: {target} (per-tensor trace: {kept})", soft_wrap=True)


def _show(report: Report, folder: Path) -> int:
    console = _console()
    print_report(report, console)
    console.print(f"Report: {folder / 'report.html'}", soft_wrap=True, highlight=False)
    return EXIT_CODES[report.verdict]


def _console() -> Console:
    """Standard output; a log that has no width of its own gets one that tables fit into."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def _command() -> list[str]:
    return ["harness", *sys.argv[1:]]


def _settings(pairs: list[str] | None) -> dict[str, str]:
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SpecError("--set takes KEY=VALUE", repr(pair), "write for example max_steps=50")
        found[name.strip()] = value
    return found
