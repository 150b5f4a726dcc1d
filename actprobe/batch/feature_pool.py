"""A few processes that prepare recordings, so that a crash costs one recording and not the run.

They are processes of `actprobe.batch.worker`, each served by a thread of this one. A process that ends
is replaced. If it crashed (SIGSEGV, SIGABRT, ...) its recording has failed: decoders and features do
the same again. If it was killed (SIGKILL, SIGTERM: somebody, or the system for want of memory) its
recording is tried once more before it has failed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

import cloudpickle
from absl import logging

from actprobe.batch.jobs import Consumer, StageSeconds
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.batch.worker import ONE_THREAD, receive, send
from actprobe.corpora import Recording
from actprobe.errors import ActprobeError

AHEAD = 2  # recordings for each process that are prepared or being prepared before they are asked for
TIME_LIMIT_SECONDS = 3600.0
ATTEMPTS = 2
STARTS = 3
LAST_BREATH_SECONDS = 60.0  # from closing its pipes to its end: a core is being dumped
KILLED = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


def start_ahead(workers: int, *preload: str) -> None:
    """Have processes ready for the next pool, while the network is being loaded.

    They load what is named of `actprobe.backend`, such as ``essentia``, at once.
    """
    _ahead[:] = [process for process in _ahead if process.alive]
    _ahead.extend(_Process(preload) for _ in range(workers - len(_ahead)))


class FeaturePool:
    """Processes that do a job's ``prepare``; they start at once, while the caller goes on.

    The job is pickled once, by cloudpickle, so that functions of a script or notebook can be in it. A
    recording that takes longer than ``time_limit_seconds``, an hour, has failed and its process is ended.
    """

    def __init__(self, job: Any, workers: int, time_limit_seconds: float = TIME_LIMIT_SECONDS) -> None:
        self._image = cloudpickle.dumps(job)
        self._time_limit = time_limit_seconds
        self._ahead = AHEAD * workers
        self._lock = threading.Lock()
        self._closed = False
        self._idle = [_ahead.pop() if _ahead else _Process() for _ in range(workers)]
        self._busy: set[_Process] = set()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="prepare")

    @property
    def process_ids(self) -> list[int]:
        """The processes as the system numbers them."""
        with self._lock:
            return [process.pid for process in (*self._idle, *self._busy)]

    def prepare(self, recordings: Sequence[Recording]) -> Iterator[tuple[Recording, Any]]:
        """Prepare recordings, a few ahead, and yield them in order, each with what came of it.

        That is what the job's ``prepare`` returned, or a LedgerRow with the reason why it could not.
        ActprobeError where the processes cannot be started.
        """
        waiting: deque[tuple[Recording, Future[Any]]] = deque()
        try:
            for recording in recordings:
                waiting.append((recording, self._threads.submit(self._prepare, recording)))
                if len(waiting) > self._ahead:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._closed = True
            for process in (*self._idle, *self._busy):
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> FeaturePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, recording: Recording) -> Any:
        """Have one recording prepared, in one of the threads."""
        for attempt in range(ATTEMPTS):
            process = self._take()
            try:
                answer = process.ask(self._image, recording, self._time_limit)
            except TimeoutError:
                process.kill()
                reason = f"took longer than {self._time_limit:.0f} s to decode and describe"
                return failed_row(recording, reason)
            except (EOFError, OSError):
                code = process.reap()
                if -code in KILLED and attempt + 1 < ATTEMPTS and not self._closed:
                    logging.info("%s: its process was killed; it is tried once more", recording.name)
                    continue
                return failed_row(recording, _ending(code))
            finally:
                self._put_back(process)
            return answer
        raise AssertionError("the last attempt returns")

    def _take(self) -> _Process:
        with self._lock:
            process = self._idle.pop() if self._idle else None
            if self._closed:
                raise ActprobeError("the processes of this run have been ended")
            process = process or _Process()
            self._busy.add(process)
        return process

    def _put_back(self, process: _Process) -> None:
        with self._lock:
            self._busy.discard(process)
            if process.alive and not self._closed:
                self._idle.append(process)


def walk(
    consumer: Consumer, recordings: Sequence[Recording], pool: FeaturePool, spent: StageSeconds
) -> Iterator[LedgerRow]:
    """Prepare recordings in a pool and give them to a consumer; rows come as recordings finish or fail.

    The account of the time is put into ``spent``.
    """
    began = perf_counter()
    for recording, prepared in pool.prepare(recordings):
        spent.waiting += perf_counter() - began
        if isinstance(prepared, LedgerRow):
            yield prepared
        else:
            yield from consumer.add(recording, prepared)
        began = perf_counter()
    yield from consumer.flush()
    if isinstance(account := getattr(consumer, "seconds", None), StageSeconds):
        spent.add(account)


class _Process:
    """One process, as the thread that serves it sees it."""

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._ready = False
        self._start(preload)

    def _start(self, preload: Sequence[str] = ()) -> None:
        self._popen = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "actprobe.batch.worker", *preload],
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
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def ask(self, image: bytes, recording: Recording, seconds: float) -> Any:
        """Have a recording prepared; TimeoutError, or EOFError or OSError if the process ends."""
        if not self._ready:
            self._get_ready(image)
        send(self._write, recording)
        if not self._read.poll(seconds):
            raise TimeoutError
        return receive(self._read)

    def _get_ready(self, image: bytes) -> None:
        for attempt in range(STARTS):
            try:
                send(self._write, image)
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
            self._ready = True
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


_ahead: list[_Process] = []


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with status {code} while it was decoded and described"
    name = signal.Signals(-code).name
    if -code in KILLED:
        return f"its process was killed ({name}) {ATTEMPTS} times while it was decoded and described"
    return f"its process crashed ({name}) while it was decoded and described"
