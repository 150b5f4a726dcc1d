"""One recording of a corpus: prepared, its excerpts planned, worked on, and kept as a shard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from actprobe.analyses.attribution.excerpts import ExcerptPlan, Places, plan_excerpts
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.batch.prepare import prepare_recording
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import Recording
from actprobe.corpora.parts import known_parts
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd

Work = Callable[[ExcerptPlan], dict[str, NDArray[Any]]]


def keep_recording(
    store: ShardStore,
    recording: Recording,
    frontend: FrontEnd,
    places: Places,
    fill: str,
    seed: int,
    work: Work,
) -> LedgerRow:
    """Do ``work`` on the excerpts of a recording and keep the arrays that it gives, unless that is done.

    A fault is that of this recording alone, but for a UsageError: what is wrong with the command is wrong
    with every recording.
    """
    finished = store.finished(recording)
    if finished is not None:
        return finished
    try:
        of_recording = frontend.of(recording.path)
        prepared = prepare_recording(recording, frontend)
        plan = plan_excerpts(
            of_recording, prepared.samples, places, fill=fill, name=recording.name, seed=seed,
            parts=known_parts(recording, of_recording.sample_rate),
        )  # fmt: skip
        arrays = work(plan)
        row = replace(prepared.row, examples=len(plan))
        store.save(recording, Shard(row.facts(), arrays))
    except UsageError:
        raise
    except Exception as error:  # one bad recording must not stop the run
        return failed_row(recording, error)
    return row
