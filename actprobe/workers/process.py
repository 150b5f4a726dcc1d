"""A worker process as the one that asks it sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from actprobe.errors import ActprobeError
from actprobe.workers.forked import ONE_THREAD, fork, module_path
from actprobe.workers.messages import Surroundings, Work, receive, send

STARTS = 3
LAST_BREATH_SECONDS = 60.0  # from closing its pipes to its end: a core is being dumped
KILLED = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


class WorkerProcess:
    """A process of `actprobe.workers.worker`; one thread at a time asks it.

    It works in the surroundings in which it is started. ``preload``: see `actprobe.workers.forked.fork`.
    """

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._work: bytes | None = None
        self._start(preload)

    def _start(self, preload: Sequence[str] = ()) -> None:
        requests, asks = os.pipe()
        answered, answers = os.pipe()
        self._write, self._read = Connection(asks, readable=False), Connection(answered, writable=False)
        try:
            self._process = fork(preload, requests, answers)
        finally:
            os.close(requests)
            os.close(answers)
        with suppress(OSError):  # where it is killed at once, `ask` finds it out
            send(self._write, _surroundings())

    @property
    def pid(self) -> int:
        """The process as the system numbers it."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

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
        self._process.kill()
        self._process.wait()

    def reap(self) -> int:
        """Say how a process ended whose pipe is closed."""
        try:
            return self._process.wait(LAST_BREATH_SECONDS)
        except TimeoutError:
            self._process.kill()
            return self._process.wait()
        finally:
            self._read.close()
            self._write.close()


def _surroundings() -> Surroundings:
    try:
        folder: str | None = os.getcwd()  # noqa: PTH109  (that of pathlib does not say that it is gone)
    except FileNotFoundError:
        folder = None
    return Surroundings(folder, {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}, module_path())


def ending(code: int) -> str:
    """Say how a process ended, from its exit status, negative for a signal."""
    if code >= 0:
        return f"ended with status {code}"
    name = signal.Signals(-code).name
    return f"was killed ({name})" if -code in KILLED else f"crashed ({name})"
