"""A worker process as the one that asks it sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from actprobe.errors import ActprobeError
from actprobe.workers.messages import Work, receive, send

STARTS = 3
LAST_BREATH_SECONDS = 60.0  # from closing its pipes to its end: a core is being dumped
KILLED = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)

# Several of these run side by side, one thread each.
ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


class WorkerProcess:
    """A process of `actprobe.workers.worker`; one thread at a time asks it.

    ``preload`` names what it loads of `actprobe.backend` before anything else, such as ``essentia``.
    """

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._work: bytes | None = None
        self._start(preload)

    def _start(self, preload: Sequence[str] = ()) -> None:
        self._popen = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "actprobe.workers.worker", *preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                **dict.fromkeys(ONE_THREAD, "1"),
                "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
                "PYTHONSAFEPATH": "1",
            },
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._write = Connection(os.dup(self._popen.stdin.fileno()), readable=False)
        self._read = Connection(os.dup(self._popen.stdout.fileno()), writable=False)
        self._popen.stdin.close()
        self._popen.stdout.close()

    @property
    def pid(self) -> int:
        """The process as the system numbers it."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def ask(self, work: bytes, argument: Any, seconds: float) -> Any:
        """Have its work done for an argument; TimeoutError, or EOFError or OSError if the process ends.

        ``work`` is the pickled function that does it; it is sent where it is not the one that was asked last.
        ActprobeError: it cannot be opened there.
        """
        if work is not self._work:
            self._get_ready(work)
        send(self._write, argument)
        if not self._read.poll(seconds):
            raise TimeoutError
        return receive(self._read)

    def _get_ready(self, work: bytes) -> None:
        for attempt in range(STARTS):
            try:
                send(self._write, Work(work))
                refusal = receive(self._read)
            except (EOFError, OSError) as error:
                code = self.reap()
                if -code not in KILLED or attempt + 1 == STARTS:
                    raise ActprobeError(
                        f"a feature process ended with status {code} when it was started"
                    ) from error
                self._start()
                continue
            if refusal:
                raise ActprobeError(f"a feature process could not open the job: {refusal}")
            self._work = work
            return

    def kill(self) -> None:
        """End the process, whatever it does; the thread that waits for it sees its pipe close."""
        self._popen.kill()
        self._popen.wait()

    def reap(self) -> int:
        """Say how a process ended whose pipe is closed."""
        try:
            return self._popen.wait(LAST_BREATH_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait()
        finally:
            self._read.close()
            self._write.close()


def ending(code: int) -> str:
    """Say how a process ended, from its exit status, negative for a signal."""
    if code >= 0:
        return f"ended with status {code}"
    name = signal.Signals(-code).name
    return f"was killed ({name})" if -code in KILLED else f"crashed ({name})"
