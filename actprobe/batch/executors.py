"""Who does the work of a run: processes of this machine, or a dask cluster.

A recording is prepared (decoded, described by features) in a process that never loads TensorFlow, and
taken in by a consumer beside the network, which writes the recording's shard. With ``local:N`` the
network runs in the calling process, with ``dask`` in every worker of the cluster. Results are on disk
before anyone is told of them, so whatever is killed, no finished recording is lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from absl import logging

from actprobe.batch.cluster import walk_on_cluster
from actprobe.batch.feature_pool import FeaturePool, walk
from actprobe.batch.jobs import Job, StageSeconds, Store
from actprobe.batch.ledger import LedgerRow
from actprobe.batch.progress import Progress
from actprobe.corpora import Recording
from actprobe.errors import UsageError

DEFAULT = "local:2"


@dataclass(frozen=True)
class Executor:
    """Where the work is done.

    ``kind`` is ``local`` or ``dask``. ``workers``: feature processes of ``local``, or processes with a
    network of a cluster that is started here; 0 for an existing cluster, whose scheduler is at ``address``,
    ``tcp://HOST:PORT``.
    """

    kind: Literal["local", "dask"]
    workers: int
    address: str = ""


def parse_executor(text: str) -> Executor:
    """Read ``local:N``, ``dask:N`` or ``dask://HOST:PORT``; anything else is a UsageError."""
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
    """Do a job for every recording not finished yet; one ledger row a recording, in the order of the corpus.

    A recording that cannot be used is listed with its reason, and tried again by the next run. So is one that
    crashes the process that prepares it; one whose process is killed from outside is tried once more first.

    ``store`` is shared by all workers of a cluster. ``executor`` is ``local:N``, ``dask:N`` or
    ``dask://HOST:PORT``. ``stages`` is filled with where the time went, summed over all processes.
    UsageError: no such executor, or a job that another process cannot open.
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
            for found in walk_on_cluster(job, todo, store, chosen.workers, chosen.address, spent):
                progress.advance(found.path not in rows)
                rows[found.path] = found
    return [rows[recording.name] for recording in recordings]
