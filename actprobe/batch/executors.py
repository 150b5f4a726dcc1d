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
from actprobe.batch.progress import Lengths, Progress
from actprobe.corpora import Recording
from actprobe.errors import UsageError
from actprobe.extras import require

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
    """Read ``local:N``, ``dask:N`` or ``dask://HOST:PORT``; anything else is a UsageError.

    ActprobeError: dask is not installed.
    """
    if found := re.fullmatch(r"(local|dask):([1-9]\d{0,3})", text):
        chosen = Executor("local" if found[1] == "local" else "dask", int(found[2]))
    elif found := re.fullmatch(r"dask://([^/]+:\d+)/?", text):
        chosen = Executor("dask", 0, f"tcp://{found[1]}")
    else:
        raise UsageError(f"executor {text!r} is none of local:N, dask:N and dask://HOST:PORT")
    if chosen.kind == "dask":
        require("cluster", f"executor {text}")
    return chosen


def run_job(
    job: Job,
    recordings: Sequence[Recording],
    store: Store,
    executor: str = DEFAULT,
    *,
    stages: StageSeconds | None = None,
    what: str = "recordings",
    least_seconds: float = 0.0,
) -> list[LedgerRow]:
    """Do a job for every recording not finished yet; one ledger row a recording, in the order of the corpus.

    A recording that cannot be used is listed with its reason, and tried again by the next run. So is one that
    crashes the process that prepares it; one whose process is killed from outside is tried once more first.

    ``store`` is shared by all workers of a cluster. ``executor`` is ``local:N``, ``dask:N`` or
    ``dask://HOST:PORT``. ``stages`` is filled with where the time went, summed over all processes. ``what``:
    what lines of progress call the recordings. ``least_seconds``: seconds of sound that shorter ones are
    filled up to, which decides when they are done.
    UsageError: no such executor, or a job that another process cannot open.
    """
    chosen = parse_executor(executor)
    spent = stages if stages is not None else StageSeconds()
    rows = {recording.name: row for recording in recordings if (row := store.finished(recording)) is not None}
    if rows:
        logging.info("%d of %d recordings were finished before", len(rows), len(recordings))
    todo = [recording for recording in recordings if recording.name not in rows]
    lengths = Lengths(todo, least_seconds)
    with Progress(len(todo), what) as progress:

        def finish(found: Sequence[LedgerRow]) -> None:
            new = [row for row in found if row.path not in rows]  # a task of a cluster may be done twice
            rows.update({row.path: row for row in found})
            lengths.finish(new)
            progress.advance(len(new), lengths)

        if not todo:
            pass
        elif chosen.kind == "local":
            with FeaturePool(job, min(chosen.workers, len(todo))) as pool:
                for found in walk(job.consumer(store), todo, pool, spent):
                    finish(found)
        else:
            for found in walk_on_cluster(job, todo, store, chosen.workers, chosen.address, spent):
                finish(found)
    return [rows[recording.name] for recording in recordings]
