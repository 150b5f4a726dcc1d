"""Who does the work of a run: processes of this machine, or a dask cluster.

A recording is prepared (decoded, described by features) in a process that never loads TensorFlow, and
taken in by a consumer beside the network, which writes the recording's shard. With ``local:N`` the
network runs in the calling process, with ``dask`` in every worker of the cluster. Results are on disk
before anyone is told of them, so whatever is killed, no finished recording is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, Protocol

from absl import logging

from actprobe.batch.feature_pool import FeaturePool
from actprobe.batch.ledger import LedgerRow
from actprobe.batch.prepare import StageSeconds
from actprobe.batch.progress import Progress
from actprobe.corpora import Recording
from actprobe.errors import UsageError

__all__ = ["Executor", "parse_executor", "run_job", "walk"]

DEFAULT = "local:2"


class Store(Protocol):
    """Where a run keeps what it has finished; it can be pickled."""

    def finished(self, recording: Recording) -> LedgerRow | None:
        """Say what the ledger has of a recording that needs no more work.

        Parameters
        ----------
        recording : Recording
            A recording of the corpus.

        Returns
        -------
        LedgerRow or None
            None when it has to be computed.
        """


class Consumer(Protocol):
    """Takes prepared recordings in and finishes them, in order or in batches."""

    def add(self, recording: Recording, prepared: Any) -> list[LedgerRow]:
        """Take a recording in.

        Parameters
        ----------
        recording : Recording
            The recording.
        prepared : object
            What the job's ``prepare`` gave for it.

        Returns
        -------
        list of LedgerRow
            Rows of the recordings that are finished now, their shards on disk, or that failed. What is
            raised instead ends the run.
        """

    def flush(self) -> list[LedgerRow]:
        """Finish what is left.

        Returns
        -------
        list of LedgerRow
            As `add` returns them.
        """


class Job(Protocol):
    """What is to be done with every recording; it can be pickled (by cloudpickle).

    A consumer that keeps account of its time has it as `StageSeconds` in an attribute ``seconds``.
    """

    def prepare(self, recording: Recording) -> Any:
        """Do what needs no TensorFlow, in a process of its own.

        Parameters
        ----------
        recording : Recording
            A recording of the corpus.

        Returns
        -------
        object
            What the consumer takes in; it can be pickled. What is raised instead becomes the reason of
            a failed recording.
        """

    def consumer(self, store: Any) -> Consumer:
        """Make what takes prepared recordings in, in the process of the network.

        Parameters
        ----------
        store : Store
            Where the shards go.

        Returns
        -------
        Consumer
            A new one.
        """


@dataclass(frozen=True)
class Executor:
    """Who does the work.

    Parameters
    ----------
    kind : str
        ``local`` or ``dask``.
    workers : int
        Feature processes of ``local``, processes with a network of a cluster of our own; 0 for an
        existing cluster.
    address : str
        Scheduler of an existing cluster, ``tcp://HOST:PORT``; empty otherwise.
    """

    kind: Literal["local", "dask"]
    workers: int
    address: str = ""


def parse_executor(text: str) -> Executor:
    """Read what ``--executor`` says.

    Parameters
    ----------
    text : str
        ``local:N``, ``dask:N`` or ``dask://HOST:PORT``.

    Returns
    -------
    Executor
        What was asked for.

    Raises
    ------
    UsageError
        Something else.
    """
    if found := re.fullmatch(r"(local|dask):([1-9]\d{0,3})", text):
        return Executor("local" if found[1] == "local" else "dask", int(found[2]))
    if found := re.fullmatch(r"dask://([^/]+:\d+)/?", text):
        return Executor("dask", 0, f"tcp://{found[1]}")
    raise UsageError(f"executor {text!r} is none of local:N, dask:N and dask://HOST:PORT")


def run_job(
    job: Job,
    recordings: Sequence[Recording],
    store: Store,
    executor: str = DEFAULT,
    *,
    stages: StageSeconds | None = None,
) -> list[LedgerRow]:
    """Do a job for every recording that is not finished yet.

    A recording that cannot be used is listed with its reason, and tried again by the next run. So is
    one that crashes the process that prepares it; one whose process is killed from outside is tried
    once more first.

    Parameters
    ----------
    job : Job
        What is to be done.
    recordings : sequence of Recording
        The corpus.
    store : Store
        Where the shards go; shared by all workers of a cluster.
    executor : str, optional
        ``local:N``, ``dask:N`` or ``dask://HOST:PORT``.
    stages : StageSeconds, optional
        Filled with where the time went, summed over all processes.

    Returns
    -------
    list of LedgerRow
        One a recording, in the order of the corpus.

    Raises
    ------
    UsageError
        No such executor, or a job that another process cannot open.
    """
    chosen = parse_executor(executor)
    spent = stages if stages is not None else StageSeconds()
    rows = {recording.name: row for recording in recordings if (row := store.finished(recording)) is not None}
    if rows:
        logging.info("%d of %d recordings were finished before", len(rows), len(recordings))
    todo = [recording for recording in recordings if recording.name not in rows]
    with Progress(len(todo), "recordings") as progress:
        if not todo:
            pass
        elif chosen.kind == "local":
            with FeaturePool(job, min(chosen.workers, len(todo))) as pool:
                for found in walk(job.consumer(store), todo, pool, spent):
                    rows[found.path] = found
                    progress.advance()
        else:
            from actprobe.batch.cluster import walk_on_cluster

            for found in walk_on_cluster(job, todo, store, chosen.workers, chosen.address, spent):
                progress.advance(found.path not in rows)
                rows[found.path] = found
    return [rows[recording.name] for recording in recordings]


def walk(
    consumer: Consumer, recordings: Sequence[Recording], pool: FeaturePool, spent: StageSeconds
) -> Iterator[LedgerRow]:
    """Prepare recordings in a pool and give them to a consumer.

    Parameters
    ----------
    consumer : Consumer
        Takes the recordings in.
    recordings : sequence of Recording
        What is to be done.
    pool : FeaturePool
        Prepares them, a few ahead.
    spent : StageSeconds
        Gets where the time went.

    Yields
    ------
    LedgerRow
        As the recordings are finished or fail.
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
