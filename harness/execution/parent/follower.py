"""What a node other than node 0 does: its part of each run that node 0 begins."""

from __future__ import annotations

from rich.console import Console

from harness.errors import RunFailed, SpecError
from harness.execution.checkpoints import first_difference
from harness.execution.nodes import Meeting, Node, Part, Turn
from harness.execution.parent.plan import plan, runs_in
from harness.execution.parent.process import import_ahead
from harness.execution.parent.progress import bars
from harness.execution.parent.reuse import is_done
from harness.execution.parent.runner import Run, run_all
from harness.results.folders import RECORDS
from harness.spec.request import RunRequest

__all__ = ["follow"]


def follow(request: RunRequest, node: Node, console: Console) -> None:
    """Train in every run that node 0 begins, until it ends.

    Raises `SpecError` if this node cannot do what node 0 has begun, and `RunFailed` if a run failed
    here, the latter after the last run.
    """
    assert request.out is not None  # several nodes share it
    out = request.out
    runs = {run.folder.name: run for run in runs_in(out, plan(request), {})}
    if request.reuses_out and all(is_done(run) for run in runs.values()):
        return
    meeting = Meeting(node, out, request.timeout_s)
    import_ahead()
    done = None
    while (turn := meeting.next_turn(after=done)) is not None:
        done = turn.run
        folder = out / RECORDS / turn.run
        try:
            run = _same_run(runs, turn)
            with bars([run], console) as on_event:
                run_all([run], 1, on_event, request.continues, request.timeout_s, meeting)
        except SpecError as error:
            meeting.report(folder, Part(refusal=str(error), failed=True, leaves=True))
            raise
        except KeyboardInterrupt:
            reason = f"node {node.rank} was stopped by the user"
            meeting.report(folder, Part(error=reason, failed=True, leaves=True))
            raise
    if meeting.failed:
        raise RunFailed(
            f"node {node.rank} had runs that failed; node 0 writes the report to {out}",
            ", ".join(meeting.failed),
        )


def _same_run(runs: dict[str, Run], turn: Turn) -> Run:
    """The run in this node's command that node 0 has begun."""
    rule, remedy = "all nodes run the same command", "use the command of node 0"
    if turn.run not in runs:
        raise SpecError(rule, f"{turn.run} on node 0 alone", remedy)
    run = runs[turn.run]
    difference = first_difference(turn.spec, run.spec)
    if difference is not None:
        name, there, here = difference
        raise SpecError(rule, f"{name} is {there} on node 0 and {here} here", remedy)
    return run
