"""Commands that start at once: a process that has loaded TensorFlow and the rest forks for each of them.

A command loads its packages for some seconds, which the many commands of the docs would spend every time.
What it prints, reads, writes and returns is the same. Tests of how a command starts do not use this. Nor does
Python code of others: TensorFlow inside essentia, for one, waits for ever in a process that was forked.
"""

from __future__ import annotations

import array
import atexit
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "cv2", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "matplotlib.figure",
    "pandas", "plotly.graph_objects", "pyarrow.parquet", "scipy.optimize", "scipy.signal", "scipy.stats",
    "soundfile",
)  # fmt: skip
FOR_WORKERS = (
    "essentia", "librosa", "actprobe.analyses.neurons.job", "actprobe.analyses.maps.channel_pass",
)  # fmt: skip

# What stands in the place of a command: it hands its words, folder, environment and streams to the server.
STAND_IN = """#!{python} -IS
import array, json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
told = json.dumps([[{command!r}, *sys.argv[1:]], os.getcwd(), dict(os.environ)]).encode()
streams = array.array("i", [0, 1, 2])
server.sendmsg([len(told).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
server.sendall(told)
answer = server.recv(1)
sys.exit(answer[0] if answer else 70)
"""


def write_stand_in(path: Path, command: str, address: str) -> None:
    """Put a stand-in for a command, a file of Python."""
    path.write_text(STAND_IN.format(python=sys.executable, address=address, command=command))
    path.chmod(0o755)


@contextmanager
def preloaded_commands(folder: Path) -> Iterator[Path]:
    """Give a folder with a stand-in for every binary of the project,."""
    address = str(folder / "server")
    commands = folder / "bin"
    commands.mkdir()
    for binary in ROOT.glob("bin/actprobe-*"):
        write_stand_in(commands / binary.name, str(binary), address)
    server = commands / "actprobe-serve"  # may become another program, so it has a process of its own
    server.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/bin/actprobe-serve" "$@"\n')
    process = subprocess.Popen(
        [sys.executable, __file__, address],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield commands
    finally:
        process.kill()
        process.wait()


def main(address: str) -> NoReturn:
    from actprobe import backend
    from actprobe.workers.process import WorkerProcess

    for name in ("keras", "librosa"):
        getattr(backend, name)
    for package in PACKAGES:
        importlib.import_module(package)
    WorkerProcess(FOR_WORKERS).kill()  # the process that forks those of all commands has loaded them
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children here
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(connection)
        connection.close()


def serve(connection: socket.socket) -> NoReturn:
    """Be the command that is asked for, and tell its exit status."""
    size, streams = receive(connection)
    told = b""
    while len(told) < size:
        told += connection.recv(size - len(told))
    words, folder, environment = json.loads(told)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, closefd=False) for number, mode in enumerate(("r", "w", "w"))
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code = 1
    try:
        sys.argv = words
        sys.path[0] = str(Path(words[0]).parent)
        runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does at its end
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([code & 255]))
    os._exit(code & 255)


def receive(connection: socket.socket) -> tuple[int, Any]:
    streams = array.array("i")
    size, ancillary, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(3 * streams.itemsize))
    streams.frombytes(ancillary[0][2])
    return int.from_bytes(size, "big"), streams


if __name__ == "__main__":
    main(sys.argv[1])
