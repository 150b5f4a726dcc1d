"""A few processes that prepare recordings, so that a crash costs one recording and not the run.

They are processes of `actprobe.workers`, each served by a thread of this one. A process that ends
is replaced. If it crashed (SIGSEGV, SIGABRT, ...) its recording has failed: decoders and features do
the same again. If it was killed (SIGKILL, SIGTERM: somebody, or the system for want of memory) its
recording is tried once more before it has failed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Any

import cloudpickle
from absl import logging

from actprobe.batch.jobs import Consumer, StageSeconds
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.corpora import Recording
from actprobe.errors import ActprobeError
from actprobe.workers.messages import Unsendable
from actprobe.workers.process import KILLED, WorkerProcess, ending

AHEAD = 2  # recordings for each process that are prepared or being prepared before they are asked for
TIME_LIMIT_SECONDS = 3600.0
ATTEMPTS = 2


def start_ahead(workers: int, *preload: str) -> None:
    """Have processes ready for the next pool, while the network is being loaded.

    ``preload``: see `actprobe.workers.forked.fork`.
    """
    _ahead[:] = [process for process in _ahead if process.alive]
    _ahead.extend(WorkerProcess(preload) for _ in range(workers - len(_ahead)))


class FeaturePool:
    """Processes that do a job's ``prepare``; they start at once, while the caller goes on.

    The job is pickled once, by cloudpickle, so that functions of a script or notebook can be in it. A
    recording that takes longer than ``time_limit_seconds``, an hour, has failed and its process is ended.
    """

    def __init__(self, job: Any, workers: int, time_limit_seconds: float = TIME_LIMIT_SECONDS) -> None:
        self._image = cloudpickle.dumps(_Preparing(job))
        self._time_limit = time_limit_seconds
        self._ahead = AHEAD * workers
        self._lock = threading.Lock()
        self._closed = False
        module = type(job).__module__
        preload = [module] if module.startswith("actprobe.") else []
        self._idle = [_ahead.pop() if _ahead else WorkerProcess(preload) for _ in range(workers)]
        self._busy: set[WorkerProcess] = set()
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
            if isinstance(answer, Unsendable):
                return failed_row(recording, f"unexpected {answer.reason}")
            return answer
        raise AssertionError("the last attempt returns")

    def _take(self) -> WorkerProcess:
        with self._lock:
            process = self._idle.pop() if self._idle else None
            if self._closed:
                raise ActprobeError("the processes of this run have been ended")
            process = process or WorkerProcess()
            self._busy.add(process)
        return process

    def _put_back(self, process: WorkerProcess) -> None:
        with self._lock:
            self._busy.discard(process)
            if process.alive and not self._closed:
                self._idle.append(process)


def walk(
    consumer: Consumer, recordings: Sequence[Recording], pool: FeaturePool, spent: StageSeconds
) -> Iterator[list[LedgerRow]]:
    """Prepare recordings in a pool and give them to a consumer; rows of those that finish or fail together.

    The account of the time is put into ``spent``.
    """
    began = perf_counter()
    for recording, prepared in pool.prepare(recordings):
        spent.waiting += perf_counter() - began
        if isinstance(prepared, LedgerRow):
            yield [prepared]
        else:
            yield consumer.add(recording, prepared)
        began = perf_counter()
    yield consumer.flush()
    if isinstance(account := getattr(consumer, "seconds", None), StageSeconds):
        spent.add(account)


_ahead: list[WorkerProcess] = []


@dataclass(frozen=True)
class _Preparing:
    """What a process of the pool does with a recording; whatever is raised is the reason of a failed row."""

    job: Any

    def __call__(self, recording: Recording) -> Any:
        try:
            return self.job.prepare(recording)
        except Exception as error:  # one bad recording must not stop the batch
            return failed_row(recording, error)


def _ending(code: int) -> str:
    times = f" {ATTEMPTS} times" if -code in KILLED else ""
    return f"its process {ending(code)}{times} while it was decoded and described"
