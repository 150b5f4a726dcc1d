"""Worker processes as forks of one process, which loads what they need once.

That process is started with the first of them and ends with this one. `actprobe.workers.fork_server` is what
runs in it.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait

from actprobe.workers.fork_server import NUMBER_BYTES

# Several of these run side by side, one thread each.
ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
END_SECONDS = 5.0  # for a process that was killed to be gone


class Forked:
    """A process that was asked for, in the manner of `subprocess.Popen`; any thread may ask.

    ``told`` is a descriptor with its number, and with how it ended; ``server`` is the process that forks it.
    """

    def __init__(self, told: int, server: subprocess.Popen[bytes]) -> None:
        self._told, self._server = told, server
        self._starting, self._ending = threading.Lock(), threading.Lock()
        self._pid: int | None = None
        self._code: int | None = None

    @property
    def pid(self) -> int:
        """The process as the system numbers it; ProcessLookupError where it could not be started."""
        with self._starting:
            if self._pid is None:
                self._pid = self._number(None) or 0
        if self._pid == 0:
            raise ProcessLookupError("the process was not started")
        return self._pid

    def poll(self) -> int | None:
        """Give its exit status, negative for a signal; None while it runs or is about to."""
        if not self._ending.acquire(blocking=False):  # a thread waits for its end
            return None
        try:
            return self._wait(0.0)
        except TimeoutError:
            return None
        finally:
            self._ending.release()

    def wait(self, seconds: float | None = None) -> int:
        """Wait for its exit status, negative for a signal; TimeoutError."""
        with self._ending:
            return self._wait(seconds)

    def kill(self) -> None:
        """End it, whatever it does."""
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, signal.SIGKILL)

    def _wait(self, seconds: float | None) -> int:
        with self._starting:
            if self._pid is None:
                self._pid = self._number(seconds) or 0
        if self._code is None:
            code = self._number(seconds) if self._pid else None
            self._code = self._lost() if code is None else code
            os.close(self._told)
        return self._code

    def _number(self, seconds: float | None) -> int | None:
        """Read what is told next; None where nobody will tell it. TimeoutError."""
        if not wait([self._told], seconds):
            raise TimeoutError
        told = os.read(self._told, NUMBER_BYTES)
        return int.from_bytes(told, "little", signed=True) if told else None

    def _lost(self) -> int:
        """Say how it ended where the process that forked it is gone."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        code = 0
        with suppress(subprocess.TimeoutExpired):
            code = self._server.wait(END_SECONDS)
        return code or -signal.SIGKILL


class _ForkServer:
    """The process that forks, started when it is first asked; forks of this process share it."""

    def __init__(self) -> None:
        self.renew_lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._owner = 0

    def renew_lock(self) -> None:
        self._lock = threading.Lock()

    def fork(self, preload: Sequence[str], requests: int, answers: int) -> Forked:
        request = json.dumps(list(preload)).encode()
        told, tells = os.pipe()
        errors = _standard_error()
        try:
            with self._lock:
                try:
                    self._ask(request, requests, answers, tells, errors)
                except (BrokenPipeError, ConnectionResetError):  # somebody has ended it
                    self._socket = None
                    with suppress(BrokenPipeError, ConnectionResetError):  # `Forked` says how it ended
                        self._ask(request, requests, answers, tells, errors)
                assert self._process is not None
                return Forked(told, self._process)
        except BaseException:
            os.close(told)
            raise
        finally:
            os.close(tells)
            os.close(errors)

    def _ask(self, request: bytes, *descriptors: int) -> None:
        if self._socket is None:
            self._start()
        assert self._socket is not None
        socket.send_fds(self._socket, [request], descriptors)

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "actprobe.workers.fork_server"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={
                    **os.environ,
                    **dict.fromkeys(ONE_THREAD, "1"),
                    "PYTHONPATH": os.pathsep.join(module_path()),
                    "PYTHONSAFEPATH": "1",
                },
            )
        self._owner = os.getpid()

    def end(self) -> None:
        """End it, if this process has started it; what it forked ends with the pipes to this process."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait(END_SECONDS)


def fork(preload: Sequence[str], requests: int, answers: int) -> Forked:
    """Start a worker process that reads and answers on these descriptors, and do not wait for it.

    ``preload`` names what is loaded first, for it and all later ones: of `actprobe.backend`, such as
    ``essentia``, or a module, such as ``actprobe.features.maps``.
    """
    return _server.fork(preload, requests, answers)


def end() -> None:
    """End the process that forks; the next fork starts another.

    Only then is the processor time of its forks counted with that of this process.
    """
    _server.end()


def module_path() -> list[str]:
    """Give the folders of modules as they are from anywhere."""
    try:
        return [os.path.abspath(folder) for folder in sys.path]  # noqa: PTH100
    except FileNotFoundError:  # this process is in a folder that has been removed
        return [folder for folder in sys.path if os.path.isabs(folder)]  # noqa: PTH117


def _standard_error() -> int:
    try:
        return os.dup(2)
    except OSError:  # it is closed
        return os.open(os.devnull, os.O_WRONLY)


_server = _ForkServer()
atexit.register(end)
os.register_at_fork(after_in_child=_server.renew_lock)
