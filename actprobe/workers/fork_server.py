"""A process that forks the worker processes: ``python -m actprobe.workers.fork_server``.

What they need is loaded once, here, and none of them waits for it again. It starts no thread and computes
nothing, so that a fork of it is as good as a new process. A request, on its standard input, is JSON
(what to load) with four descriptors: a worker's requests, its answers, where to tell its number and how it
ended, and its standard error. `actprobe.workers.forked` is the other side.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from typing import NoReturn

import numpy as np

from actprobe import backend
from actprobe.workers.worker import work

REQUEST_BYTES = 2**16
DESCRIPTORS = 4
NUMBER_BYTES = 8  # of a process, and of the status with which it ended


def main() -> None:
    """Fork until the other end closes; then end whatever still runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the run decides
    asked = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    ended, ends = os.pipe()
    os.set_blocking(ends, False)
    signal.set_wakeup_fd(ends, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}  # process -> where its end is told
    while True:
        ready = wait([asked.fileno(), ended])
        if ended in ready:
            os.read(ended, 2**12)
            _tell_ends(running)
        if asked.fileno() in ready:
            request, descriptors, _, _ = socket.recv_fds(asked, REQUEST_BYTES, DESCRIPTORS)
            if not request:
                break
            _load(json.loads(request))
            requests, answers, told, errors = descriptors
            process = os.fork()
            if process == 0:
                for each in (asked.detach(), ended, ends, told, *running.values()):
                    os.close(each)
                _be_a_worker(requests, answers, errors)
            running[process] = told
            tell(told, process)
            for each in (requests, answers, errors):
                os.close(each)
    for process in running:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _load(names: Sequence[str]) -> None:
    """Load what is named of `actprobe.backend`, and modules of actprobe."""
    for name in names:
        with suppress(Exception):  # whoever needs it says that it is missing
            importlib.import_module(name) if "." in name else getattr(backend, name)


def _tell_ends(running: dict[int, int]) -> None:
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            return
        told = running.pop(process)
        tell(told, os.waitstatus_to_exitcode(status))
        os.close(told)


def tell(descriptor: int, number: int) -> None:
    """Write a number, whether or not anybody still reads."""
    with suppress(BrokenPipeError):
        os.write(descriptor, number.to_bytes(NUMBER_BYTES, "little", signed=True))


def _be_a_worker(requests: int, answers: int, errors: int) -> NoReturn:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(errors, 2)
    os.dup2(2, 1)  # what a decoder or a feature prints must not get between the answers
    os.close(errors)
    np.random.seed()  # noqa: NPY002  (its forks would all draw the same)
    status = 1
    try:
        work(requests, answers)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
