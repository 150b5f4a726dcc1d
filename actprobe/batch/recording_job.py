"""A job that takes recordings one by one: each is prepared, worked on, and kept as a shard of arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from actprobe.batch.handle import ModelHandle
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import Recording
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd

Arrays = Mapping[str, NDArray[Any]]


@dataclass
class RecordingJob(ABC):
    """What is to be done with every recording; see `actprobe.batch.jobs.Job`.

    An analysis derives its job and gives `work`. ``handle`` opens the network where the work is done. A fault
    is that of its recording alone, but for a UsageError: what is wrong with the command is wrong with every
    recording.
    """

    handle: ModelHandle

    def prepare(self, recording: Recording) -> Prepared:
        """Decode a recording, in a process without TensorFlow."""
        return prepare_recording(recording, self.handle.frontend)

    @abstractmethod
    def work(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Arrays:
        """Compute what is kept of a recording, in the process of the network.

        ``frontend`` is that of the recording. An array ``examples`` of shape [] is entered into the ledger as
        the count of examples and not kept.
        """

    def consumer(self, store: ShardStore) -> RecordingConsumer:
        """Make what does the work and writes to the store."""
        return RecordingConsumer(self, store)


class RecordingConsumer:
    """Finishes one recording after the other."""

    def __init__(self, job: RecordingJob, store: ShardStore) -> None:
        self.job, self.store = job, store

    def add(self, recording: Recording, prepared: Prepared) -> list[LedgerRow]:
        """Work on a recording and keep what comes out."""
        try:
            frontend = self.job.handle.frontend.of(recording.path)
            arrays = dict(self.job.work(recording, prepared, frontend))
            row = prepared.row
            if "examples" in arrays:
                row = replace(row, examples=int(arrays.pop("examples")))
            self.store.save(recording, Shard(row.facts(), arrays))
        except UsageError:
            raise
        except Exception as error:  # one bad recording must not stop the run
            return [failed_row(recording, error)]
        return [row]

    def flush(self) -> list[LedgerRow]:
        """Nothing is left: every recording is finished by itself."""
        return []
