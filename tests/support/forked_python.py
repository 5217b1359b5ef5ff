"""A `python` command whose processes are forked from one that has imported the large libraries.

`forked_python` gives a folder with the programs `python` and `torchrun`. With it first on the PATH,
a command starts without the seconds that its imports take. The program runs as in a fresh
interpreter: its own arguments, folder, environment, output and exit code; other random states in
each process; `sitecustomize` from the PYTHONPATH of the environment. What is not as in a fresh
interpreter is the order of imports, so a test also starts real ones.
"""

from __future__ import annotations

import array
import contextlib
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["forked_python"]

_PRELOADED = (
    "harness.cli.main",
    "harness.cli.trace",
    "harness.execution.command.child",
    "harness.report.write",
    "harness.tracing.attach.attachment",
    "harness.tracing.attach.recording",
    "harness.execution.child.metadata",
    "pandas",
    "torch.distributed.run",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "transformers.models.bert.modeling_bert",
    "transformers.models.distilbert.modeling_distilbert",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
    "transformers.trainer",
    "accelerate",
    "datasets",
    "peft",
    "lightning",
    "lightning.fabric",
    "trl.trainer.sft_trainer",
)

# `python` of the folder: hands its arguments and open files to the server, and ends as the program.
_CLIENT = """\
#!{python} -IS
import array, json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
words = {words!r} + sys.argv[1:]
request = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
files = array.array("i", [0, 1, 2])
server.sendmsg(
    [len(request).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)]
)
server.sendall(request)
answer = server.makefile().read()
code = int(answer or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextlib.contextmanager
def forked_python(folder: Path) -> Iterator[Path]:
    """Start the server; its programs are in the folder that this gives. `folder` must be short."""
    address = folder / "s"
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name, words in (("python", []), ("torchrun", ["-m", "torch.distributed.run"])):
        text = _CLIENT.format(python=sys.executable, address=str(address), words=words)
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [sys.executable, __file__, str(address)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            if server.stdout.readline() != "ready\n":
                raise RuntimeError("the server did not start")
            yield programs
        finally:
            server.terminate()


def _serve(address: str) -> tuple[list[str], str, dict[str, str]]:
    """Fork for each request; returns, with the request, only in the process that is to run it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(16)
    os.write(1, b"ready\n")
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            if os.fork() == 0:
                break
            os._exit(0)
        connection.close()
        os.wait()  # the process in between
    listener.close()
    size, files = _receive(connection)
    request = b""
    while len(request) < size:
        request += connection.recv(size - len(request))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    program = os.fork()
    if program:
        _answer(connection, program)
    connection.close()
    words, where, environment = json.loads(request)
    return words, where, environment


def _receive(connection: socket.socket) -> tuple[int, list[int]]:
    files = array.array("i")
    data, ancillary, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(3 * files.itemsize))
    for _, _, content in ancillary:
        files.frombytes(content[: len(content) - len(content) % files.itemsize])
    return int.from_bytes(data, "big"), list(files)


def _answer(connection: socket.socket, program: int) -> None:
    """Wait for the end of the program, and send its exit code. A client that died ends it too."""
    ended = os.pidfd_open(program)
    ready, _, _ = select.select([ended, connection.fileno()], [], [])
    if ended not in ready:
        with contextlib.suppress(ProcessLookupError):
            os.kill(program, signal.SIGTERM)
    _, status = os.waitpid(program, 0)
    with contextlib.suppress(OSError):
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(words: Sequence[str], where: str, environment: dict[str, str]) -> None:
    """Make this process that of `python *words`, as far as it matters to a program."""
    import numpy as np
    import torch

    os.chdir(where)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    np.random.seed()
    if "OMP_NUM_THREADS" in environment:
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    sys.path[1:1] = [entry for entry in environment.get("PYTHONPATH", "").split(":") if entry]
    if "HARNESS_TRACE" in environment:
        before = list(sys.meta_path)
        sys.modules.pop("sitecustomize", None)
        site: Any = importlib.import_module("sitecustomize")
        sys.meta_path[:] = before  # torch is imported already
        site._attach()
    words = list(words)
    while words[0] == "-u":
        words.pop(0)
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    if words[0] == "-m":
        sys.path[0] = where
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    sys.path[0] = str(Path(words[0]).resolve().parent)
    sys.argv = words
    main.__dict__.update(__file__=os.path.abspath(words[0]), __builtins__=__builtins__)
    source = Path(words[0]).read_bytes()
    exec(compile(source, main.__dict__["__file__"], "exec"), main.__dict__)  # noqa: S102  # a script


if __name__ == "__main__":
    for _name in _PRELOADED:
        importlib.import_module(_name)
    _become(*_serve(sys.argv[1]))
