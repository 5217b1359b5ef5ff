"""The first lines that run in a worker's process. The parent names them without importing torch."""

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
_LAST_S = 2.0  # who fails because another one was killed ends after it, so that it is noticed first
_ADDRESS, _KEY = "HARNESS_ADDRESS", "HARNESS_KEY"
_CONNECTION = "connection"  # how one is told of by its file descriptor
_VARIABLES = {
    "TOKENIZERS_PARALLELISM": "false",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # must stand before the process first touches CUDA
}


def worker(spec: str, folder: str, home: str, connection: Connection) -> None:
    """Leave the parent's terminal, write what is printed to a log in `folder`, and make the run.

    `spec`: a `RunSpec` as JSON. `folder`: where the record goes. `home`: the parent's working
    folder, from which relative paths start. Ends the process with the exit code of
    `harness.execution.child.main`.
    """
    settle(Path(folder), home)
    from harness.execution.child.main import main

    sys.exit(main(spec, folder, connection))


def become(python: str, packages: str, function: str, arguments: Sequence[Any]) -> None:
    """Turn this process into one of another interpreter that calls a function of this module.

    `python`: the interpreter, whose libraries the process then has. `packages`: a folder in which
    it finds this package, and no other. `function`: `module:name`, of this package.
    `arguments`: its own, as JSON values and connections; these stay open.
    """

    def told(argument: Any) -> Any:
        if isinstance(argument, Connection):
            os.set_inheritable(argument.fileno(), True)
            return {_CONNECTION: argument.fileno()}
        several = isinstance(argument, (tuple, list))
        return [told(each) for each in argument] if several else argument

    known = (packages, os.environ.get("PYTHONPATH"))
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, known))}
    variables.pop("PYTHONHOME", None)
    text = json.dumps([told(argument) for argument in arguments])
    # Not the folder that it happens to start in, as the first place to look for libraries.
    command = [python, "-P", "-m", __name__, function, text]
    os.execve(python, command, variables)  # noqa: S606  # from a list, without a shell


def _arrive(function: str, text: str) -> None:
    """The first lines in the other interpreter."""

    def given(argument: Any) -> Any:
        if isinstance(argument, dict):
            os.set_inheritable(argument[_CONNECTION], False)
            return Connection(argument[_CONNECTION])
        return [given(each) for each in argument] if isinstance(argument, list) else argument

    module, _, name = function.partition(":")
    if module.partition(".")[0] != "harness":
        raise ValueError(module)
    getattr(import_module(module), name)(*(given(argument) for argument in json.loads(text)))


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
    """Start this machine's processes of a run, and have each of them train as `worker` does.

    `kind`: torchrun, accelerate (the command `accelerate launch`) or notebook (the function
    `notebook_launcher`). `arguments`: those of torchrun or of the command, or the number of
    processes and a port. `connections`: one for each process, by its local rank. `own`: by this one
    the parent is told how processes ended that failed, as far as their launcher knows it.
    `log_folder`: for what is printed here; each process has a log of its own.

    Ends with exit code 0 where all processes did.
    """
    settle(Path(log_folder), home)
    # As torchrun has it for several processes on a machine; for a single one it leaves it open, and
    # Accelerate then gives that process all cores, whatever the recipe says.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_end_with_parent, args=(own,), daemon=True).start()
    common = (spec, folder, home)
    from harness.execution.child import process_group as processes

    try:
        if kind == "torchrun":
            codes = processes.torchrun(arguments, _rank, *common, connections)
            if codes:
                _tell(own, event="ranks_failed", exit_codes=codes)
            good = not codes
        elif kind == "notebook":
            count, port = arguments
            good = processes.notebook(int(count), port, _rank, *common, connections)
        else:
            processes.check_accelerate_arguments(arguments)
            good = _accelerate_launch(common, arguments, connections)
    except SpecError as error:
        _tell(own, event="refused", message=str(error))
        sys.exit(2)
    sys.exit(0 if good else 3)


def _tell(own: Connection, **facts: Any) -> None:
    own.send_bytes(json.dumps(facts).encode())


def _accelerate_launch(
    common: tuple[str, ...], arguments: Sequence[str], connections: Sequence[Connection]
) -> bool:
    """It starts each process as a new interpreter, which fetches its connection here."""
    key = multiprocessing.current_process().authkey
    with Listener(authkey=key) as listener:
        command = [sys.executable, "-m", "accelerate.commands.launch", *arguments]
        variables = {_ADDRESS: str(listener.address), _KEY: key.hex()}
        started = subprocess.Popen(
            [*command, "--module", "harness.execution.entry"], env={**os.environ, **variables}
        )
        given = (listener, common, connections)
        threading.Thread(target=_hand_out, args=given, daemon=True).start()
        return started.wait() == 0


def _hand_out(
    listener: Listener, common: tuple[str, ...], connections: Sequence[Connection]
) -> None:
    """Give each process that asks what it needs."""
    for _ in connections:
        with listener.accept() as asking:
            local_rank = asking.recv()
            asking.send((*common, connections[local_rank]))
            asking.recv()  # until it has them


def fetch_and_train() -> None:
    """What each process does that `accelerate launch` started."""
    key = bytes.fromhex(os.environ[_KEY])
    multiprocessing.current_process().authkey = key
    with Client(os.environ[_ADDRESS], authkey=key) as asking:
        asking.send(int(os.environ["LOCAL_RANK"]))
        spec, folder, home, connection = asking.recv()
        asking.send("thanks")
    _train(spec, folder, home, connection)


def _rank(spec: str, folder: str, home: str, connections: Sequence[Connection]) -> None:
    """One process of several: as `worker`, with a log of its own."""
    local_rank = int(os.environ["LOCAL_RANK"])
    for number, connection in enumerate(connections):
        if number != local_rank:
            connection.close()
    _train(spec, folder, home, connections[local_rank])


def _train(spec: str, folder: str, home: str, connection: Connection) -> None:
    # Connections lead to a parent on this machine; folders are shared with the others.
    settle(rank_folder(Path(folder), int(os.environ["RANK"])), home, leads=False)
    from harness.execution.child.main import main

    code = main(spec, folder, connection)
    if code:
        time.sleep(_LAST_S)
        sys.exit(code)


def settle(log_folder: Path, home: str, leads: bool = True) -> None:
    """Leave the parent's terminal, its handlers and its folder; `leads`: begin a process group."""
    # The parent interrupts with SIGINT, which a job in the background inherits as ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The launcher ends its processes with SIGTERM, and these inherit what it does on one itself.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if leads:
        os.setsid()  # so that this process and its children can be signalled together
    os.chdir(home)
    os.environ.update(_VARIABLES)
    # A DataLoader's workers are to start as they do outside the harness, not as this process did.
    multiprocessing.set_start_method(None, force=True)
    sys.stdout.flush()
    sys.stderr.flush()
    log_folder.mkdir(parents=True, exist_ok=True)
    file = os.open(log_folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    faulthandler.register(signal.SIGUSR1)  # on it, every stack goes to the log


def _end_with_parent(own: Any) -> None:
    """Its end of the pipe closes when it ends."""
    try:
        own.recv_bytes()
    except (EOFError, OSError):
        os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1:]:
        _arrive(*sys.argv[1:])
    else:
        fetch_and_train()
