"""The entry points of training processes. The parent refers to them without importing torch."""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from harness.errors import SpecError
from harness.results.ranks import rank_folder

__all__ = ["LOG", "become", "launcher", "settle", "worker"]

LOG = "log.txt"
_DELAY_S = 2.0  # a process that failed because another was killed ends after that one
_ADDRESS, _KEY = "HARNESS_ADDRESS", "HARNESS_KEY"
_CONNECTION = "connection"  # key of a connection's file descriptor in JSON
_VARIABLES = {
    "TOKENIZERS_PARALLELISM": "false",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # must be set before the process first uses CUDA
}


def worker(spec: str, folder: str, home: str, connection: Connection) -> None:
    """Detach from the parent's terminal, write output to a log in `folder`, and make the run.

    `spec`: a `RunSpec` as JSON. `folder`: for the record. `home`: the working folder of the parent,
    from which relative paths start. Ends the process with the exit code of
    `harness.execution.child.main`.
    """
    settle(Path(folder), home)
    from harness.execution.child.main import main

    sys.exit(main(spec, folder, connection))


def become(python: str, packages: str, function: str, arguments: Sequence[Any]) -> None:
    """Replace this process by one of another interpreter that calls a function of this package.

    `python`: the interpreter, with its own libraries. `packages`: a folder that holds this package
    and no other. `function`: `module:name`. `arguments`: of the function, as JSON values and
    connections, which stay open.
    """

    def encoded(argument: Any) -> Any:
        if isinstance(argument, Connection):
            os.set_inheritable(argument.fileno(), True)
            return {_CONNECTION: argument.fileno()}
        several = isinstance(argument, (tuple, list))
        return [encoded(each) for each in argument] if several else argument

    known = (packages, os.environ.get("PYTHONPATH"))
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, known))}
    variables.pop("PYTHONHOME", None)
    text = json.dumps([encoded(argument) for argument in arguments])
    # With -P the current folder is not the first place to look for libraries.
    command = [python, "-P", "-m", __name__, function, text]
    os.execve(python, command, variables)  # noqa: S606  # a list, without a shell


def _arrive(function: str, text: str) -> None:
    """The first call in the other interpreter."""

    def decoded(argument: Any) -> Any:
        if isinstance(argument, dict):
            os.set_inheritable(argument[_CONNECTION], False)
            return Connection(argument[_CONNECTION])
        return [decoded(each) for each in argument] if isinstance(argument, list) else argument

    module, _, name = function.partition(":")
    if module.partition(".")[0] != "harness":
        raise ValueError(module)
    getattr(import_module(module), name)(*(decoded(argument) for argument in json.loads(text)))


def launcher(
    spec: str,
    folder: str,
    home: str,
    kind: str,
    arguments: Sequence[str],
    connections: Sequence[Connection],
    own: Connection,
    log_folder: str,
) -> None:
    """Start the processes of a run on this machine; each trains as `worker` does.

    `kind`: torchrun, accelerate (the command `accelerate launch`) or notebook (the function
    `notebook_launcher`). `arguments`: those of torchrun or of the command, or the number of
    processes and a port. `connections`: one for each process, by its local rank. `own`: sends the
    parent the exit codes of failed processes, as far as their launcher knows them. `log_folder`:
    for the output of the launcher; each process has its own log.

    Ends with exit code 0 if all processes did.
    """
    settle(Path(log_folder), home)
    # As torchrun sets it for several processes on a machine. For a single one torchrun does not,
    # and Accelerate then gives that process all cores, against the recipe.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_end_with_parent, args=(own,), daemon=True).start()
    common = (spec, folder, home)
    from harness.execution.child import process_group

    try:
        if kind == "torchrun":
            codes = process_group.torchrun(arguments, _rank, *common, connections)
            if codes:
                _send(own, event="ranks_failed", exit_codes=codes)
            good = not codes
        elif kind == "notebook":
            count, port = arguments
            good = process_group.notebook(int(count), port, _rank, *common, connections)
        else:
            process_group.check_accelerate_arguments(arguments)
            good = _accelerate_launch(common, arguments, connections)
    except SpecError as error:
        _send(own, event="refused", message=str(error))
        sys.exit(2)
    sys.exit(0 if good else 3)


def _send(own: Connection, **facts: Any) -> None:
    own.send_bytes(json.dumps(facts).encode())


def _accelerate_launch(
    common: tuple[str, ...], arguments: Sequence[str], connections: Sequence[Connection]
) -> bool:
    """Run the command, whose processes are new interpreters that fetch their connections here."""
    key = multiprocessing.current_process().authkey
    with Listener(authkey=key) as listener:
        command = [sys.executable, "-m", "accelerate.commands.launch", *arguments]
        variables = {_ADDRESS: str(listener.address), _KEY: key.hex()}
        started = subprocess.Popen(
            [*command, "--module", "harness.execution.entry"], env={**os.environ, **variables}
        )
        shared = (listener, common, connections)
        threading.Thread(target=_hand_out, args=shared, daemon=True).start()
        return started.wait() == 0


def _hand_out(
    listener: Listener, common: tuple[str, ...], connections: Sequence[Connection]
) -> None:
    """Send each process that connects its arguments."""
    for _ in connections:
        with listener.accept() as client:
            local_rank = client.recv()
            client.send((*common, connections[local_rank]))
            client.recv()  # until it has received them


def fetch_and_train() -> None:
    """The entry point of each process that `accelerate launch` started."""
    key = bytes.fromhex(os.environ[_KEY])
    multiprocessing.current_process().authkey = key
    with Client(os.environ[_ADDRESS], authkey=key) as client:
        client.send(int(os.environ["LOCAL_RANK"]))
        spec, folder, home, connection = client.recv()
        client.send("received")
    _train(spec, folder, home, connection)


def _rank(spec: str, folder: str, home: str, connections: Sequence[Connection]) -> None:
    """The entry point of one of several processes: as `worker`, with its own log."""
    local_rank = int(os.environ["LOCAL_RANK"])
    for number, connection in enumerate(connections):
        if number != local_rank:
            connection.close()
    _train(spec, folder, home, connections[local_rank])


def _train(spec: str, folder: str, home: str, connection: Connection) -> None:
    # Connections are numbered on this machine; folders are shared with the other machines.
    settle(rank_folder(Path(folder), int(os.environ["RANK"])), home, leads=False)
    from harness.execution.child.main import main

    code = main(spec, folder, connection)
    if code:
        time.sleep(_DELAY_S)
        sys.exit(code)


def settle(log_folder: Path, home: str, leads: bool = True) -> None:
    """Detach from the parent's terminal, handlers and folder. `leads`: begin a process group."""
    # The parent interrupts with SIGINT, which a job in the background inherits as ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The launcher ends its processes with SIGTERM. They would inherit its own handler.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if leads:
        os.setsid()  # so that this process and its children can be signalled together
    os.chdir(home)
    os.environ.update(_VARIABLES)
    # The workers of a DataLoader start as they do outside the harness, not as this process did.
    multiprocessing.set_start_method(None, force=True)
    sys.stdout.flush()
    sys.stderr.flush()
    log_folder.mkdir(parents=True, exist_ok=True)
    file = os.open(log_folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    faulthandler.register(signal.SIGUSR1)  # on this signal, every stack is written to the log


def _end_with_parent(own: Any) -> None:
    """Kill this process group when the parent ends, which closes its end of the pipe."""
    try:
        own.recv_bytes()
    except (EOFError, OSError):
        os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1:]:
        _arrive(*sys.argv[1:])
    else:
        fetch_and_train()
