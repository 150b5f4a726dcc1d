"""A run on a dask cluster: consecutive recordings are a task, and what it finds is on disk when it ends.

Every worker process opens the network once and has feature processes of its own, so that a crashing
decoder ends neither the worker nor the task. Only the rows of the ledger travel back.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import replace
from logging import CRITICAL
from typing import Any

import cloudpickle
from absl import logging

from actprobe.batch.feature_pool import FeaturePool, walk
from actprobe.batch.jobs import Job, StageSeconds, Store
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.corpora import Recording
from actprobe.errors import ActprobeError

CHUNK = 32  # recordings of a task at most
TASKS_PER_WORKER = 4  # at least, where there are enough recordings
CONNECT_SECONDS = 30
LOOK_SECONDS = 30  # a worker that died is back in less
CLUSTERS = 3
ALLOWED_FAILURES = 1  # workers that may die with a task before it is given up, in a cluster of our own
DEADLY = "worker after worker of the cluster died with it"

_open: dict[str, tuple[Job, FeaturePool]] = {}
_one_at_a_time = threading.Lock()


def walk_on_cluster(
    job: Job,
    recordings: Sequence[Recording],
    store: Store,
    workers: int,
    address: str,
    spent: StageSeconds,
) -> Iterator[list[LedgerRow]]:
    """Do a job on a cluster, and yield the ledger rows of chunks as they are finished.

    A task whose worker dies goes to another one, which leaves out what is finished. Recordings with which
    worker after worker dies have failed.

    Every worker opens the job, and finds the recordings and the store at the same paths. ``workers``:
    processes of a cluster of this machine that is started and ended here; 0 for an existing one, whose
    scheduler is at ``address``. ``spent`` gets where the time went, summed over the workers. ActprobeError:
    the scheduler cannot be reached or was lost, or the workers cannot open the job.
    """
    image = cloudpickle.dumps(job)
    left = {recording.name: replace(recording, path=recording.path.absolute()) for recording in recordings}
    for _ in range(CLUSTERS):
        try:
            for rows in _walk(image, list(left.values()), store, workers, address, spent):
                for row in rows:
                    left.pop(row.path, None)
                yield rows
        except _NoWorkersLeftError:
            logging.warning("the workers are gone; %d recordings are left, others are started", len(left))
            continue
        return
    raise ActprobeError(f"worker after worker ended; {len(left)} recordings are left, run again to go on")


class _NoWorkersLeftError(Exception):
    """The workers of a cluster of our own have ended, and nobody starts others."""


def _walk(
    image: bytes,
    recordings: Sequence[Recording],
    store: Store,
    workers: int,
    address: str,
    spent: StageSeconds,
) -> Iterator[list[LedgerRow]]:
    from distributed import KilledWorker

    with ExitStack() as stack:
        client = _connected(stack, workers, address)
        address = address or f"dask:{workers}"
        count = workers or max(1, len(client.nthreads()))
        size = max(1, min(CHUNK, -(-len(recordings) // (TASKS_PER_WORKER * count))))
        chunks = [recordings[i : i + size] for i in range(0, len(recordings), size)]

        def finished(
            some: Sequence[Sequence[Recording]], deadly: list[Recording]
        ) -> Iterator[list[LedgerRow]]:
            begun = {client.submit(_do, image, chunk, store, pure=False): chunk for chunk in some}
            for chunk, future in _completed(client, begun, workers):
                if isinstance(future.exception(), KilledWorker):
                    deadly.extend(chunk)
                    continue
                rows, seconds = future.result()
                spent.add(seconds)
                yield rows

        suspects: list[Recording] = []
        culprits: list[Recording] = []
        try:
            yield from finished(chunks, suspects)
            for suspect in suspects:  # with nothing else under way, so that the culprit is known
                yield from finished([[suspect]], culprits)
            yield [failed_row(culprit, DEADLY) for culprit in culprits]
        except (CancelledError, OSError) as error:
            raise ActprobeError(
                f"{address}: the dask scheduler was lost ({type(error).__name__}); what was finished is "
                f"kept, run the same command again to go on"
            ) from error
        except ModuleNotFoundError as error:
            raise ActprobeError(f"{address}: the workers cannot open the job ({error})") from error


def _connected(stack: ExitStack, workers: int, address: str) -> Any:
    """Connect to a scheduler, that of a cluster of our own if there is no other."""
    import dask
    import distributed

    untyped: Any = distributed  # its classes are typed, their constructors are not
    settings = {
        "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s",
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    }
    stack.enter_context(dask.config.set(settings))
    try:
        if workers:
            threads = max(1, len(os.sched_getaffinity(0)) // workers)
            cluster = untyped.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=":0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=CRITICAL,
                env={"TF_NUM_INTRAOP_THREADS": str(threads)},
            )
            address = stack.enter_context(cluster).scheduler_address
        client = untyped.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        return stack.enter_context(client)
    except (OSError, TimeoutError) as error:
        raise ActprobeError(f"{address}: the dask scheduler cannot be reached ({error})") from error


def _completed(
    client: Any, futures: dict[Any, Sequence[Recording]], workers: int
) -> Iterator[tuple[Sequence[Recording], Any]]:
    """Yield futures as they are done; notice when nobody is left who could do them."""
    from distributed import wait

    untyped: Any = wait
    while futures:
        try:
            with client.as_current():
                done = untyped(list(futures), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            if not client.nthreads():
                if workers:
                    raise _NoWorkersLeftError from None
                logging.warning("no worker is connected to the scheduler; waiting for one")
            continue
        for future in done:
            yield futures.pop(future), future


def _do(image: bytes, recordings: Sequence[Recording], store: Store) -> tuple[list[LedgerRow], StageSeconds]:
    """Do one task in a worker: those recordings that are not finished yet."""
    spent = StageSeconds()
    with _one_at_a_time:
        found = {recording.name: store.finished(recording) for recording in recordings}
        rows = [row for row in found.values() if row is not None]
        todo = [recording for recording in recordings if found[recording.name] is None]
        if todo:
            job, pool = _opened(image)
            for some in walk(job.consumer(store), todo, pool, spent):
                rows += some
    return rows, spent


def _opened(image: bytes) -> tuple[Job, FeaturePool]:
    """Open a job once in this process; one job at a time."""
    key = hashlib.sha256(image).hexdigest()
    if key not in _open:
        while _open:
            _open.popitem()[1][1].close()
        job = pickle.loads(image)  # noqa: S301  (from the scheduler's client)
        _open[key] = (job, FeaturePool(job, 1))
    return _open[key]


@atexit.register
def _close() -> None:
    for _, pool in _open.values():
        with suppress(Exception):
            pool.close()
